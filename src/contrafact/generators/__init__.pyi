# Written by `python -m tests.stubs`; a test keeps it fresh.
from contrafact.core.catalog import Catalog as Catalog
from contrafact.generators.analytic import Analytic as Analytic
from contrafact.generators.autoencoder_kl import AutoencoderKL as AutoencoderKL
from contrafact.generators.biggan import BigGAN as BigGAN
from contrafact.generators.class_knob import ClassKnob as ClassKnob
from contrafact.generators.dcgan import DCGAN as DCGAN
from contrafact.generators.diffusion import Diffusion as Diffusion
from contrafact.generators.fastgan import FastGAN as FastGAN
from contrafact.generators.field_diffusion import FieldDiffusion as FieldDiffusion
from contrafact.generators.glow import Glow as Glow
from contrafact.generators.lord import LORD as LORD
from contrafact.generators.prog_gan import ProgGAN as ProgGAN
from contrafact.generators.r3gan import R3GAN as R3GAN
from contrafact.generators.rectified_flow import RectifiedFlow as RectifiedFlow
from contrafact.generators.sngan import SNGAN as SNGAN
from contrafact.generators.stylegan import StyleGAN as StyleGAN
from contrafact.generators.stylegan2 import StyleGAN2 as StyleGAN2
from contrafact.generators.stylegan3 import StyleGAN3 as StyleGAN3
from contrafact.generators.token_diffusion import TokenDiffusion as TokenDiffusion
from contrafact.generators.tutorial_dcgan import TutorialDCGAN as TutorialDCGAN
from contrafact.generators.vae import VAE as VAE
from contrafact.generators.wrap import wrap as wrap

CATALOG: Catalog
