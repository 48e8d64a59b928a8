# Written by `python -m tests.stubs`; a test keeps it fresh.
from contrafact.core.catalog import Catalog as Catalog
from contrafact.methods.attribute_predictor import AttributePredictor as AttributePredictor
from contrafact.methods.beta_tcvae import BetaTCVAE as BetaTCVAE
from contrafact.methods.beta_vae import BetaVAE as BetaVAE
from contrafact.methods.cd_gan import CDGAN as CDGAN
from contrafact.methods.cluster_gan import ClusterGAN as ClusterGAN
from contrafact.methods.cmc import CMC as CMC
from contrafact.methods.contralord import ContraLORD as ContraLORD
from contrafact.methods.deep_spectral import DeepSpectral as DeepSpectral
from contrafact.methods.dip_vae import DIPVAE as DIPVAE
from contrafact.methods.disco import DisCo as DisCo
from contrafact.methods.factor_vae import FactorVAE as FactorVAE
from contrafact.methods.gan_features import GANFeatures as GANFeatures
from contrafact.methods.gan_inversion import GANInversion as GANInversion
from contrafact.methods.ganspace import GANSpace as GANSpace
from contrafact.methods.infogan import InfoGAN as InfoGAN
from contrafact.methods.infogan_cr import InfoGANCR as InfoGANCR
from contrafact.methods.interfacegan import InterFaceGAN as InterFaceGAN
from contrafact.methods.labels_only import LabelsOnly as LabelsOnly
from contrafact.methods.latent_discovery import LatentDiscovery as LatentDiscovery
from contrafact.methods.latentclr import LatentCLR as LatentCLR
from contrafact.methods.lord import LORD as LORD
from contrafact.methods.moco import MoCo as MoCo
from contrafact.methods.overlord import OverLORD as OverLORD
from contrafact.methods.random import Random as Random
from contrafact.methods.sefa import SeFa as SeFa
from contrafact.methods.semi_supervised_vae import SemiSupervisedVAE as SemiSupervisedVAE
from contrafact.methods.simclr import SimCLR as SimCLR
from contrafact.methods.sngan import SNGAN as SNGAN
from contrafact.methods.stylegan2 import StyleGAN2 as StyleGAN2
from contrafact.methods.sub_infomax import SubInfoMax as SubInfoMax
from contrafact.methods.sup_con import SupCon as SupCon
from contrafact.methods.vae import VAE as VAE
from contrafact.methods.wgan_gp import WGANGP as WGANGP
from contrafact.methods.zerodim import ZeroDIM as ZeroDIM

CATALOG: Catalog
