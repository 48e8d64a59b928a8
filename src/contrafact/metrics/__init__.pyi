# Written by `python -m tests.stubs`; a test keeps it fresh.
from contrafact.core.catalog import Catalog as Catalog
from contrafact.core.encoding import Codes as Codes
from contrafact.evaluation.codes import evaluate as evaluate
from contrafact.evaluation.codes import evaluate_encoder as evaluate_encoder
from contrafact.evaluation.compare import compare as compare
from contrafact.evaluation.compare import compare_runs as compare_runs
from contrafact.evaluation.result import Evaluation as Evaluation
from contrafact.evaluation.tables import evaluate_files as evaluate_files
from contrafact.metrics.beta_vae_score import beta_vae_score as beta_vae_score
from contrafact.metrics.clustering import clustering as clustering
from contrafact.metrics.dci import dci as dci
from contrafact.metrics.dci_es import dci_es as dci_es
from contrafact.metrics.downstream import downstream as downstream
from contrafact.metrics.explicitness import explicitness as explicitness
from contrafact.metrics.factor_vae_score import factor_vae_score as factor_vae_score
from contrafact.metrics.fid import fid as fid
from contrafact.metrics.inception_score import inception_score as inception_score
from contrafact.metrics.infomec import infomec as infomec
from contrafact.metrics.irs import irs as irs
from contrafact.metrics.kid import kid as kid
from contrafact.metrics.knn_probe import knn_probe as knn_probe
from contrafact.metrics.linear_probe import linear_probe as linear_probe
from contrafact.metrics.lpips import lpips as lpips
from contrafact.metrics.mds import mds as mds
from contrafact.metrics.med import med as med
from contrafact.metrics.mig import mig as mig
from contrafact.metrics.modularity import modularity as modularity
from contrafact.metrics.recovery import recovery as recovery
from contrafact.metrics.rescoring import rescoring as rescoring
from contrafact.metrics.sap import sap as sap
from contrafact.metrics.smoothness import smoothness as smoothness
from contrafact.metrics.sub_embedding_gaps import sub_embedding_gaps as sub_embedding_gaps
from contrafact.metrics.total_correlation import total_correlation as total_correlation
from contrafact.metrics.udr import udr as udr
from contrafact.metrics.zerodim import zerodim as zerodim

CATALOG: Catalog
