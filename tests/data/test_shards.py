"""Shards: tars and parquet files, here and in fsspec's memory, read a part at a time."""

import importlib
import io
import pickle
import subprocess
import tarfile
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from contrafact.core.dataset import AnnotatedDataset
from contrafact.core.places import portable
from contrafact.core.run import Run
from contrafact.data import _stores, _tar
from contrafact.data._blocks import BlockCache
from contrafact.data._passes import Passes, position
from contrafact.data._stores import expand
from contrafact.data.load import load_dataset
from contrafact.data.shards import Shards
from contrafact.evaluation.sampling import dataset_of

from . import albums

EXPECTED = torch.from_numpy(albums.PIXELS).permute(0, 3, 1, 2) / 255
FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CONTRAFACT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def far():
    """fsspec's file system in memory, empty."""
    system = importlib.import_module("fsspec").filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()


@pytest.fixture
def reads(monkeypatch):
    """Bytes and requests that were asked of the stores."""
    seen = SimpleNamespace(requests=0, bytes=0, largest=0)
    read = _stores.Store.read

    def counted(self, file, start, length):
        seen.requests, seen.bytes, seen.largest = seen.requests + 1, seen.bytes + length, max(seen.largest, length)
        return read(self, file, start, length)

    monkeypatch.setattr(_stores.Store, "read", counted)
    return seen


def upload(far, folder, to="/bucket"):
    for file in folder.glob("*.*"):
        far.pipe_file(f"{to}/{file.name}", file.read_bytes())


@pytest.mark.parametrize("kind", FORMATS)
def test_a_tar_in_any_format_is_read(tmp_path, kind):
    albums.write_tar(tmp_path, "a.tar", kind=FORMATS[kind])
    data = load_dataset(tmp_path / "a.tar", size=16)
    assert torch.equal(data.batch(np.arange(12)), EXPECTED)
    assert torch.equal(data.batch([7, 0, 7]), EXPECTED[[7, 0, 7]])
    assert data.labels.tolist() == albums.CLASSES.tolist()
    assert list(data.file_names)[3] == "./000003.png"
    assert not isinstance(data, AnnotatedDataset)


@pytest.mark.parametrize("kind", ["gnu", "pax"])
def test_long_names_are_whole(tmp_path, kind):
    name = "a" * 90 + "/" + "ü" * 90 + ".png"
    with tarfile.open(tmp_path / "a.tar", "w", format=FORMATS[kind]) as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content := albums.encoded(albums.PIXELS[0]))
        archive.addfile(member, io.BytesIO(content))
    assert list(Shards(tmp_path / "a.tar", size=16).file_names) == [name]


def test_the_systems_own_tar_is_read(tmp_path):
    Image.fromarray(albums.PIXELS[0]).save(tmp_path / "one.png")
    subprocess.run(["tar", "-cf", "a.tar", "one.png"], cwd=tmp_path, check=True)
    assert torch.equal(Shards(tmp_path / "a.tar", size=16).batch([0]), EXPECTED[:1])


def test_member_places_are_those_that_pythons_reader_finds(tmp_path):
    file = albums.write_tar(tmp_path, kind=tarfile.PAX_FORMAT)
    content = file.read_bytes()
    found = list(_tar.members(lambda start, length: content[start : start + length], len(content), "a.tar"))
    with tarfile.open(file) as archive:
        assert found == [(m.name, m.offset_data, m.size) for m in archive if m.isfile()]


def write_hub(folder):
    """The hub's two files, of six pictures in groups of five."""
    pytest.importorskip("pyarrow")
    for number, rows in enumerate((slice(6), slice(6, 12))):
        albums.write_parquet(folder, f"train-{number:05}-of-00002.parquet", rows)


def test_parquet_files_are_read_by_row_groups(tmp_path):
    write_hub(tmp_path)
    data = load_dataset(f"shards:{tmp_path}", size=16)
    assert torch.equal(data.batch(np.arange(11, -1, -1)), EXPECTED.flip(0))
    assert data.class_names == ("a", "b", "c")
    assert data.labels.tolist() == albums.CLASSES.tolist()
    assert data.split == "train"
    assert len(list((tmp_path / "cache/shards").glob("*.block"))) == 4


@pytest.mark.parametrize("form", ["tar", "parquet"])
def test_far_shards_are_the_same_as_near_ones(tmp_path, far, form):
    (tmp_path / "near").mkdir()
    albums.write_shards(tmp_path / "near") if form == "tar" else write_hub(tmp_path / "near")
    upload(far, tmp_path / "near")
    pattern = "train-{000..001}.tar" if form == "tar" else "train-{00000..00001}-of-00002.parquet"
    near, away = Shards(tmp_path / "near", size=16), load_dataset(f"memory://bucket/{pattern}", size=16)
    assert torch.equal(away.batch(np.arange(12)), EXPECTED)
    assert near.fingerprint() == away.fingerprint()
    assert away.source_name == f"memory://bucket/{pattern}"
    assert away.place() is None
    draws = [data.random_batch(30, np.random.default_rng(1)) for data in (near, away)]
    assert torch.equal(*draws)
    assert len(Shards("memory://bucket/train-*", size=16)) == len(Shards("memory://bucket", size=16)) == 12


def test_a_shard_is_indexed_once_and_fetched_once_a_pass(tmp_path, far, reads):
    (tmp_path / "near").mkdir()
    albums.write_shards(tmp_path / "near")
    upload(far, tmp_path / "near")
    address = "memory://bucket/train-{000..001}.tar"
    Shards(address, size=16)
    indexing = reads.requests
    data = Shards(address, size=16)
    assert reads.requests == indexing > 0
    rng = np.random.default_rng(0)
    for _ in range(6):
        data.random_batch(4, rng)
    assert reads.requests == indexing + 2  # a block of each shard
    Shards(address, size=16).batch(np.arange(12))
    assert reads.requests == indexing + 2  # kept in the cache folder


def write_large(folder, count=160, side=128):
    """Pictures of 48 kB each, several blocks to a tar."""
    rng = np.random.default_rng(0)
    for shard in range(2):
        with tarfile.open(folder / f"{shard}.tar", "w") as archive:
            for number in range(count // 2):
                stream = io.BytesIO()
                pixels = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(stream, "png", compress_level=0)
                member = tarfile.TarInfo(f"{number}.png")
                member.size = len(stream.getvalue())
                archive.addfile(member, io.BytesIO(stream.getvalue()))


def test_no_more_is_kept_than_asked_for(tmp_path, far, reads):
    (tmp_path / "near").mkdir()
    write_large(tmp_path / "near")
    upload(far, tmp_path / "near")
    data = Shards("memory://bucket/{0..1}.tar", size=64, cache_gb=0.004)
    rng = np.random.default_rng(0)
    indexing, held = reads.bytes, []
    for _ in range(20):
        data.random_batch(8, rng)
        held.append(data._blocks.bytes_held())
    assert 2e6 < max(held) <= 4e6
    assert reads.largest < 1.2 * 2**20  # a block at a time, of shards of 4 MB
    assert reads.bytes > indexing
    assert torch.equal(data.batch([5]), Shards(tmp_path / "near", size=64).batch([5]))


def test_pictures_of_a_tar_here_are_read_one_by_one(tmp_path, reads):
    write_large(tmp_path)
    data = Shards(tmp_path, size=64)
    before = reads.bytes
    data.batch([3, 100])
    assert reads.bytes - before < 2 * 50_000
    assert not list((tmp_path / "cache/shards").glob("*.block"))


def test_a_pass_holds_each_picture_once_and_differs_from_the_next():
    passes = Passes(np.array([5, 3, 9, 1]), window=6)
    first, second = passes.at(18 * 7, 18, 3), passes.at(18 * 8, 18, 3)
    assert sorted(first) == sorted(second) == list(range(18))
    assert first.tolist() != second.tolist()
    assert passes.at(18 * 7, 18, 4).tolist() != first.tolist()
    parts = np.concatenate([passes.at(18 * 7 + place, 5, 3) for place in range(0, 15, 5)])
    assert parts.tolist() == first[:15].tolist()


def test_a_window_holds_few_blocks():
    passes = Passes(np.full(100, 10), window=50)
    for window in range(20):
        assert len(set(passes.at(1000 * 9 + 50 * window, 50, 1) // 10)) <= 6


def test_all_pictures_are_equally_likely_at_any_place():
    passes = Passes(np.array([2, 6, 4]), window=4)
    counts = np.bincount([passes.at(12 * turn + 1, 1, 0)[0] for turn in range(3000)], minlength=12)
    assert abs(counts - 250).max() < 4 * np.sqrt(250)


def test_the_position_of_a_stream_counts_its_draws():
    rng = np.random.default_rng(4)
    start = position(rng)
    rng.bit_generator.random_raw(12345)
    assert (position(rng) - start) % 2**128 == 12345
    assert position(np.random.Generator(np.random.MT19937(0))) is None
    drawn = Passes(np.array([4, 4])).draw(100, np.random.Generator(np.random.MT19937(0)))
    assert set(drawn) <= set(range(8))


def test_a_stream_restored_goes_on_in_the_middle_of_a_pass(tmp_path):
    albums.write_shards(tmp_path)
    data, rng = Shards(tmp_path, size=16), np.random.default_rng(2)
    data.random_batch(5, rng)
    state = pickle.loads(pickle.dumps(rng.bit_generator.state))
    expected = [data.random_batch(5, rng) for _ in range(4)]
    other, restored = Shards(tmp_path, size=16), np.random.default_rng()
    restored.bit_generator.state = state
    assert all(torch.equal(other.random_batch(5, restored), images) for images in expected)


def test_the_next_batch_of_a_stream_that_asks_again_is_read_ahead(tmp_path, monkeypatch):
    albums.write_shards(tmp_path)
    data, asked, batch = Shards(tmp_path, size=16), [], Shards.batch

    def noted(self, indices):
        asked.append((threading.current_thread() is threading.main_thread(), list(indices)))
        return batch(self, indices)

    monkeypatch.setattr(Shards, "batch", noted)
    rng, other = np.random.default_rng(2), np.random.default_rng(3)
    images = [data.random_batch(5, rng) for _ in range(4)]
    data.random_batch(12, other)  # one that asks once reads nothing ahead
    rng.random()  # nor is what was read taken where it is not what is asked for
    images.append(data.random_batch(5, rng))
    data._reader.shutdown()
    assert sorted(main for main, _ in asked) == [False] * 3 + [True] * 4
    plain, rng = Shards(tmp_path, size=16), np.random.default_rng(2)
    for place, expected in enumerate(images):
        if place == 4:
            rng.random()
        assert torch.equal(batch(plain, plain._passes.draw(5, rng)), expected)


def test_streams_of_two_processes_go_through_passes_of_their_own():
    passes = Passes(np.full(40, 10), window=100)
    first, second = (passes.draw(400, np.random.default_rng([0, rank, 7])) for rank in range(2))
    assert len(np.unique(first)) > 250  # parts of two passes
    assert first.tolist() != second.tolist()
    assert len(np.intersect1d(first[:40], second[:40])) < 20


def test_a_resumed_run_goes_on_in_the_middle_of_a_pass(tmp_path):
    (tmp_path / "data").mkdir()
    albums.write_shards(tmp_path / "data")

    def weights(folder, steps, resume=False):
        data = load_dataset(f"{tmp_path}/data/train-{{000..001}}.tar", size=16)
        run = Run(tmp_path / folder, device="cpu", progress=False, log_every=1, resume=resume, keep_checkpoint=True)
        rng, network = run.numpy_rng("images"), torch.nn.Linear(1, 1)
        torch.nn.init.zeros_(network.weight)
        run.start({"method": "toy", "hyperparameters": {"steps": steps}}, grows="steps")
        for step in run.steps(steps, {"images": rng, "network": network}):
            images = data.random_batch(5, rng)
            network.weight.data += (step + 1) * images.double().mean().float()
            run.log(mean=images.mean())
        return float(network.weight.detach())

    whole = weights("whole", 7)
    weights("stopped", 3)
    assert weights("stopped", 7, resume=True) == whole


def recorded(data, folder):
    """A run that says it learned from a dataset."""
    about = {"kind": "data", "name": data.name, "fingerprint": data.fingerprint(), "options": dict(data.options)}
    place = data.source_name if data.place() is None else portable(data.place(), folder)
    source = {**about, "from": place, "split": getattr(data, "split", None), "image_shape": data.image_shape}
    return SimpleNamespace(folder=folder, config={"source": source})


def test_a_run_finds_its_shards_again(tmp_path, far):
    (tmp_path / "data").mkdir()
    albums.write_shards(tmp_path / "data")
    run = recorded(load_dataset(f"{tmp_path}/data/train-{{000..001}}.tar", size=16), tmp_path / "run")
    assert run.config["source"]["from"] == "../data"
    assert torch.equal(dataset_of(run).batch(np.arange(12)), EXPECTED)
    (tmp_path / "data").rename(tmp_path / "moved")
    with pytest.raises(ValueError, match=r"learned from the shards .* which is not where it was; name it with --data"):
        dataset_of(run)
    assert len(dataset_of(run, str(tmp_path / "moved/train-000.tar"))) == 5
    upload(far, tmp_path / "moved")
    away = recorded(load_dataset("memory://bucket/train-000.tar", size=16), tmp_path / "run")
    with pytest.raises(ValueError, match=r"the shards 'memory://bucket/train-000.tar', .*; name it with --data"):
        dataset_of(away)  # no address is fetched because a file says so


def test_factors_come_along(tmp_path):
    def fields(number):
        return {"hue": number % 3, "side": number // 6, "id": 17 * number}

    albums.write_tar(tmp_path, fields=fields)
    data = load_dataset(tmp_path / "train-000.tar", size=16, labels=6)
    assert isinstance(data, AnnotatedDataset)
    assert data.factor_names == ("hue", "side", "label")
    assert data.factor_sizes == (3, 2, 3)
    assert data.factors_of([11, 0]).tolist() == [[2, 1, 2], [0, 0, 0]]
    assert data.few_labels.names == ("hue", "side", "label")
    assert torch.equal(pickle.loads(pickle.dumps(data)).batch([2]), EXPECTED[[2]])


def test_factors_of_parquet_columns_come_along(tmp_path):
    arrow, parquet = (pytest.importorskip(name) for name in ("pyarrow", "pyarrow.parquet"))
    cells = [{"bytes": albums.encoded(pixels), "path": None} for pixels in albums.PIXELS]
    columns = {"image": cells, "hue": np.arange(12) % 3, "smiling": np.arange(12) > 5, "width": np.full(12, 16)}
    parquet.write_table(arrow.table(columns), tmp_path / "a.parquet", row_group_size=4)
    data = load_dataset(f"shards:{tmp_path}/a.parquet", size=16)
    assert data.factor_names == ("hue", "smiling")
    assert data.factors_of(np.arange(12)).tolist() == [[number % 3, int(number > 5)] for number in range(12)]
    assert list(data.file_names)[:2] == ["00", "01"]


def test_parts_are_told_by_the_files_names(tmp_path):
    for name, rows in (
        ("toy-train-0.tar", range(8)),
        ("toy-val-0.tar", range(8, 10)),
        ("toy-test-0.tar", range(10, 12)),
    ):
        albums.write_tar(tmp_path, name, rows)
    data = Shards(tmp_path, size=16)
    assert (len(data), data.split) == (8, "train")
    train, test = data.parts()
    assert (train is data, len(test), test.split) == (True, 2, "test")
    assert len(Shards(tmp_path, size=16, split="val")) == 2


def test_braces_count_choose_and_multiply():
    assert expand("a{08..10}b") == ["a08b", "a09b", "a10b"]
    assert expand("{x,y}{0..1}") == ["x0", "x1", "y0", "y1"]
    assert expand("plain.tar") == ["plain.tar"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{3..1}.tar", r"\{3..1\} in '\{3..1\}.tar' counts -1 files; expected 1 to 1000000"),
        ("{a}.tar", r"\{a\} in .* is no range; write \{000..099\} or \{a,b\}"),
        ("{0..999}{0..9999}.tar", "stands for 10000000 files; at most 1000000 are read"),
        ("none-{0..2}.tar", r"none-0.tar and 2 more of .* is no file; name those that are there"),
        ("nowhere://x.tar", "'nowhere://x.tar' begins with no address that fsspec knows"),
        (
            "memory://none/{0..1}.tar",
            "memory://none/{0..1}.tar .*; see that it is right and can be reached|cannot be read",
        ),
    ],
)
def test_shards_that_are_not_there_are_refused(tmp_path, monkeypatch, text, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        load_dataset(text)


def test_a_missing_package_is_named(monkeypatch):
    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(_stores.importlib, "import_module", absent)
    with pytest.raises(ValueError, match=r"s3:// needs the package s3fs: pip install 'contrafact\[remote\]'"):
        Shards("s3://bucket/a.tar")


def damaged(folder, kind):
    content = bytearray(albums.write_tar(folder, "a.tar").read_bytes())
    gzipped = b"\x1f\x8b" + bytes(content[2:])
    long_name = tarfile.TarInfo("x").tobuf(tarfile.USTAR_FORMAT)[:156] + b"L"
    described = bytearray(long_name + bytes(content[157:512]))
    described[124:136] = b"00001000000\0"
    described[148:156] = b"        "
    described[148:156] = b"%06o\0 " % sum(described)
    sparse = bytearray(content)
    sparse[156:157] = b"S"
    sparse[148:156] = b"        "
    sparse[148:156] = b"%06o\0 " % sum(sparse[:512])
    return {
        "cut": bytes(content[:700]),
        "flipped": bytes(content[:100]) + b"\xff" + bytes(content[101:]),
        "gzip": gzipped,
        "described": bytes(described) + bytes(2**19),
        "sparse": bytes(sparse),
        "empty": b"",
        "nothing": bytes(10240),
    }[kind]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("cut", "a.tar is cut short: './000000.png' goes on beyond its end; get it again"),
        ("flipped", r"a.tar is damaged or no tar archive \(no header at byte 0\); get it again"),
        ("gzip", r"a.tar is packed as a whole \(gzip\), .* unpack it to a plain .tar"),
        ("described", "a.tar describes a member in more than 64 KiB; write it again"),
        ("sparse", r"a.tar holds a file with holes \(GNU sparse\); write the archive again without --sparse"),
        ("empty", "a.tar is no tar archive; it has 0 bytes"),
        ("nothing", "a.tar holds no .png, .*files"),
    ],
)
def test_damaged_tars_are_refused(tmp_path, kind, message):
    (tmp_path / "a.tar").write_bytes(damaged(tmp_path, kind))
    with pytest.raises(ValueError, match=message):
        Shards(tmp_path / "a.tar")


def test_damaged_pax_descriptions_are_refused(tmp_path):
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 30
    for text in (b"99 path=too long\n", b"x path=a\n", b"15 size=minus1\n"):
        (tmp_path / "a.tar").write_bytes(header.tobuf(tarfile.USTAR_FORMAT) + text.ljust(512, b"\0") + bytes(1024))
        with pytest.raises(ValueError, match=r"a.tar is damaged .*; get it again"):
            Shards(tmp_path / "a.tar")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fit": "stretch"}, "unknown fit 'stretch'"),
        ({"channels": 2}, r"channels must be 3 \(RGB\), 1 \(grey\) or 4"),
        ({"split": "half"}, "unknown part 'half'"),
        ({"split": "test"}, "are of no part 'test'; found train"),
        ({"cache_gb": 0}, "cache_gb must be a number of GB above 0, got 0"),
        ({"files": "a/b.tar"}, "files names what lies in a folder of this machine"),
        ({"size": 17}, "./000000.png in .*train-000.tar is 16 x 16, smaller than size=17; take it out of the shard"),
    ],
)
def test_wrong_options_are_refused(tmp_path, options, message):
    albums.write_shards(tmp_path)
    with pytest.raises(ValueError, match=message):
        Shards(tmp_path, **options).batch([0, 11])


def test_a_server_that_gives_no_parts_is_told(tmp_path, far, monkeypatch):
    (tmp_path / "near").mkdir()
    albums.write_shards(tmp_path / "near")
    upload(far, tmp_path / "near")
    whole = type(far).cat_file
    monkeypatch.setattr(type(far), "cat_file", lambda self, path, start=None, end=None: whole(self, path))
    monkeypatch.setattr("contrafact.data._shard_index._AHEAD_BYTES", 4096)
    with pytest.raises(ValueError, match=r"expected 4096 bytes from byte 0 on, got .* does not give parts of files"):
        Shards("memory://bucket/train-000.tar")


def test_secrets_are_not_written_down():
    assert _stores.without_secrets("https://me:pw@h.org/a.tar?key=1") == "https://h.org/a.tar"


def test_blocks_that_are_not_whole_are_fetched_again(tmp_path):
    cache = BlockCache(tmp_path / "blocks", 10**6)
    made = []

    def make():
        made.append(1)
        return [b"ab", b"", b"cde"]

    assert cache.pictures("a", [2, 0, 1], make) == [b"cde", b"ab", b""]
    assert cache.pictures("a", [0], make) == [b"ab"]
    assert len(made) == 1
    for content in (b"", b"\xff" * 40, (tmp_path / "blocks/a.block").read_bytes()[:-1]):
        (tmp_path / "blocks/a.block").write_bytes(content)
        assert cache.pictures("a", [2], make) == [b"cde"]
    assert len(made) == 4
    assert cache.bytes_held() == 8 + 24 + 5


def test_a_cache_that_cannot_be_written_says_what_to_do(tmp_path):
    (tmp_path / "blocks").write_text("a file")
    with pytest.raises(ValueError, match=r"could not keep .* MB of pictures in .*cache_gb, --cache-gb"):
        BlockCache(tmp_path / "blocks", 10**6).pictures("a", [0], lambda: [b"a"])


def test_a_damaged_index_is_made_again(tmp_path):
    albums.write_tar(tmp_path, "a.tar")
    Shards(tmp_path / "a.tar", size=16)
    (kept,) = (tmp_path / "cache/shards").glob("index-*.npz")
    kept.write_bytes(b"PK\x03\x04 and nothing")
    assert torch.equal(Shards(tmp_path / "a.tar", size=16).batch([1]), EXPECTED[[1]])
