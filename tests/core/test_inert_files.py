"""Torch's files against what torch itself reads from them; then cut short, contradictory and hostile ones."""

import argparse
import collections
import io
import pickle
import zipfile

import numpy as np
import pytest
import torch

from contrafact.core.inert_files import read_inert
from contrafact.core.inert_records import Record


def saved(content, **options):
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def same(ours, theirs):
    """Whether two contents are equal, tensor by tensor, type by type."""
    if isinstance(theirs, torch.Tensor):
        raw = [t.detach().contiguous().reshape(-1).view(torch.uint8) for t in (ours, theirs)]
        return ours.dtype == theirs.dtype and ours.shape == theirs.shape and torch.equal(*raw)
    if isinstance(theirs, dict):
        metadata = getattr(theirs, "_metadata", None)
        assert getattr(ours, "_metadata", None) == metadata
        return list(ours) == list(theirs) and all(same(ours[k], theirs[k]) for k in theirs)
    if isinstance(theirs, (list, tuple)):
        return type(ours) is type(theirs) and all(map(same, ours, theirs))
    return type(ours) is type(theirs) and ours == theirs


def training_state():
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(2, 3, 3), torch.nn.BatchNorm2d(3), torch.nn.Flatten(), torch.nn.LSTM(3, 2)
    )
    optimizers = [torch.optim.Adam(network[:2].parameters()), torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)]
    for optimizer in optimizers:
        network[:2](torch.randn(2, 2, 5, 5)).sum().backward()
        optimizer.step()
    return {
        "network": network.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        "rng": torch.get_rng_state(),
        "parameter": torch.nn.Parameter(torch.randn(2)),
    }


def odd_tensors():
    base = torch.arange(24.0).view(2, 3, 4)
    kinds = (
        torch.float64,
        torch.float16,
        torch.bfloat16,
        torch.int8,
        torch.int16,
        torch.int64,
        torch.uint8,
        torch.bool,
    )
    return {
        "shared": [base, base[1], base.transpose(0, 2), base[:, ::2, 1:]],
        "kinds": [base[0].to(kind) for kind in (*kinds, torch.complex64, torch.complex128)],
        "empty": [torch.zeros(0, 3), torch.zeros(()), torch.empty(0, dtype=torch.int32)],
        "expanded": torch.ones(1, 3).expand(5, 3),
        "size": base.size(),
        "kind": torch.float16,
        "device": torch.device("cpu"),
        "plain": (1, "a", None, 2.5, {"x": [True]}),
    }


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("content", [training_state, odd_tensors])
@pytest.mark.filterwarnings("ignore")
def test_torch_files_are_what_torch_reads(content, protocol, zipped):
    data = saved(content(), pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    ours = read_inert(data).content
    assert same(ours, torch.load(io.BytesIO(data), weights_only=False))
    assert not any(tensor.requires_grad for tensor in tensors_of(ours))


def tensors_of(content):
    if isinstance(content, torch.Tensor):
        return [content]
    parts = content.values() if isinstance(content, dict) else content if isinstance(content, (list, tuple)) else ()
    return [tensor for part in parts for tensor in tensors_of(part)]


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_pickled_tensors_are_what_pickle_gives(protocol):
    content = {**training_state(), "t": torch.arange(5).t(), "half": torch.randn(1000, 3).half()}
    data = pickle.dumps(content, protocol)
    assert same(read_inert(data).content, pickle.loads(data))


def test_kinds_that_torch_cannot_read_back_from_its_old_format():
    content = [torch.arange(6.0).view(2, 3).t().to(kind) for kind in (torch.uint16, torch.uint32, torch.float8_e5m2)]
    assert same(read_inert(saved(content)).content, content)
    assert same(read_inert(saved(content, _use_new_zipfile_serialization=False)).content, content)


def test_sharing_is_kept_and_memory_is_aligned():
    base = torch.zeros(6)
    for zipped in (True, False):
        a, b, c = read_inert(saved([base, base[2:], torch.ones(3)], _use_new_zipfile_serialization=zipped)).content
        a[3] = 7
        assert b[1] == 7
        assert a.data_ptr() % 64 == c.data_ptr() % 64 == 0


def test_files_of_big_endian_machines():
    data = saved({"a": torch.arange(5.0), "b": torch.arange(3) * 1j, "c": torch.arange(4, dtype=torch.uint8)})
    source = zipfile.ZipFile(io.BytesIO(data))
    swapped = io.BytesIO()
    widths = iter((4, 4, 1))
    with zipfile.ZipFile(swapped, "w") as target:
        for info in source.infolist():
            content = source.read(info)
            if info.filename.endswith("byteorder"):
                content = b"big"
            elif "/data/" in info.filename:
                content = np.frombuffer(content, f"u{next(widths)}").byteswap().tobytes()
            target.writestr(info.filename, content)
    assert same(read_inert(swapped.getvalue()).content, torch.load(io.BytesIO(swapped.getvalue()), weights_only=True))


class Tagged(torch.Tensor):
    pass


@pytest.mark.filterwarnings("ignore")
def test_company_that_is_no_plain_tensor_leaves_the_file_readable():
    parameter = torch.nn.Parameter(torch.ones(2))
    parameter.note = "x"
    content = {
        "w": torch.ones(2),
        "parameter": parameter,
        "tagged": torch.ones(2).as_subclass(Tagged),
        "sparse": torch.eye(3).to_sparse(),
        "quantized": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
        "meta": torch.empty(2, device="meta"),
        "conjugated": torch.ones(2, dtype=torch.complex64).conj(),
        "module": torch.nn.Linear(2, 2),
        "function": torch.nn.functional.relu,
        "scheduler": torch.optim.lr_scheduler.StepLR(torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], 0.1), 1),
        "numpy": np.float32(0.5),
        "args": argparse.Namespace(n=np.int64(3)),
        "history": collections.defaultdict(list, a=[1.0]),
        "huge": torch.ones(1).expand(1000, 1000),
    }
    for zipped in (True, False):
        read = read_inert(saved(content, _use_new_zipfile_serialization=zipped)).content
        assert all(torch.equal(read[name], torch.ones(2)) for name in ("w", "parameter", "tagged"))
        assert all(isinstance(read[n], Record) for n in ("sparse", "quantized", "meta", "conjugated", "module"))
        assert (read["numpy"], read["args"].n, read["history"]) == (0.5, 3, {"a": [1.0]})
        assert read["huge"].shape == (1000, 1000)


def zip_of(records, compression=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as target:
        for name, content in records:
            target.writestr(name, content)
    return buffer.getvalue()


def tensor_code(size, stride, offset=0, count=4, key="0", kind="FloatStorage"):
    def text(value):
        return b"X" + len(value).to_bytes(4, "little") + value.encode()

    def numbers(values):
        return b"(" + b"".join(b"\x8a\x09" + v.to_bytes(9, "little", signed=True) for v in values) + b"t"

    storage = (
        b"(" + text("storage") + f"ctorch\n{kind}\n".encode() + text(key) + text("cpu") + numbers([count])[1:-1] + b"tQ"
    )
    rest = numbers([offset])[1:-1] + numbers(size) + numbers(stride) + b"\x89ccollections\nOrderedDict\n)Rt"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + rest + b"R"


def test_the_hand_made_file_is_one():
    data = zip_of([("a/data.pkl", b"\x80\x02" + tensor_code([2, 2], [2, 1]) + b"."), ("a/data/0", bytes(16))])
    assert torch.equal(read_inert(data).content, torch.zeros(2, 2))


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (tensor_code([5], [1]), r"shape \[5\] begins at element 0 of a storage of 4"),
        (tensor_code([2, 2], [3, 1], 1), "of a storage of 4"),
        (tensor_code([1], [1], -1), "begins at element -1"),
        (tensor_code([2], [-1], 1), "strides that are no whole numbers"),
        (tensor_code([-1], [1]), "sides that are no whole numbers"),
        (tensor_code([2**40, 2**40], [0, 0]), "impossible shape"),
        (tensor_code([2**40], [0]), "unfold to many times its size"),
        (tensor_code([1] * 40, [1] * 40), "or too many"),
        (tensor_code([2], [1, 1]), "makes no sense"),
        (tensor_code([2], [1], key="1"), "record 'data/1' is missing"),
        (tensor_code([2], [1], key="../data.pkl"), "is missing"),
        (tensor_code([2], [1], count=5), "fewer than 5 elements"),
        (tensor_code([2], [1], count=-5), "impossible sizes"),
        (b"](" + tensor_code([2**24], [0]) * 20 + b"e", "unfold to many times its size"),
        (b"](" + tensor_code([2**20], [0]) + b"q\x00" + b"h\x00" * 100 + b"e", "unfold to many times its size"),
    ],
)
def test_tensors_larger_than_the_file_are_refused(code, message):
    data = zip_of([("a/data.pkl", b"\x80\x02" + code + b"."), ("a/data/0", bytes(16))])
    with pytest.raises(ValueError, match=message):
        read_inert(data)


def overlapping():
    """Two entries of the directory that are one place in the file."""
    data = bytearray(zip_of([("a/data.pkl", b"N."), ("a/data/0", bytes(64)), ("a/data/1", bytes(64))]))
    first = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 1)
    second = data.index(b"PK\x01\x02", first + 1)
    data[second + 42 : second + 46] = data[first + 42 : first + 46]
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (zip_of([("a/data.pkl", b"N.")])[:-30], "no whole zip file .*cut short"),
        (zip_of([("x.npy", b"")]), "without the data.pkl of a torch file"),
        (
            zip_of([("a/data.pkl", b"N." * 999)], zipfile.ZIP_DEFLATED),
            r"compressed, which torch never does; pack it again without \(zip -0\)",
        ),
        (overlapping(), "overlaps with others"),
        (zip_of([("a/data.pkl", b"\x80\x02N")]), "cut short"),
    ],
    ids=["cut", "no data.pkl", "compressed", "overlapping", "an open pickle"],  # bytes would tell the time of packing
)
def test_bad_zip_files_are_refused(data, message):
    with pytest.raises(ValueError, match=message):
        read_inert(data)


def test_files_in_files_end():
    def inside(data):
        return b"\x80\x02ctorch.storage\n_load_from_bytes\nB" + len(data).to_bytes(4, "little") + data + b"\x85R."

    data = b"\x80\x02K\x05."
    for _ in range(3):
        data = inside(data)
    assert read_inert(data).content == 5
    with pytest.raises(ValueError, match="files in files"):
        read_inert(inside(data))
    same_bytes = b"\x80\x02B" + (10**6).to_bytes(4, "little") + b"\x80\x02(" + bytes(10**6 - 3) + b"q\x000]("
    many = same_bytes + b"ctorch.storage\n_load_from_bytes\nh\x00\x85R" * 1000 + b"e."
    with pytest.raises(ValueError, match=r"makes no sense|damaged|unfold|cut short|no instruction"):
        read_inert(many)


@pytest.mark.parametrize("zipped", [True, False])
def test_every_shorter_file_is_refused(zipped):
    data = saved({"a": torch.arange(7.0), "b": [torch.ones(2, 2), "text"]}, _use_new_zipfile_serialization=zipped)
    for length in range(0, len(data), 7):
        with pytest.raises(ValueError, match=r"cut short|damaged|no instruction|no whole|missing"):
            read_inert(data[:length])


@pytest.mark.parametrize("zipped", [True, False])
def test_changed_bytes_give_content_or_a_value_error(zipped):
    content = {"a": torch.arange(7.0), "b": [torch.ones(2, 2).half(), "text"], "c": torch.nn.Linear(1, 2).state_dict()}
    data, rng = saved(content, _use_new_zipfile_serialization=zipped), np.random.default_rng(1)
    refused = 0
    for _ in range(500):
        changed = bytearray(data)
        for place in rng.integers(len(data), size=rng.integers(1, 4)):
            changed[place] = rng.integers(256)
        try:
            for tensor in tensors_of(read_inert(bytes(changed)).content):
                tensor.float().abs().sum()
        except ValueError:
            refused += 1
    assert 20 < refused < 500
