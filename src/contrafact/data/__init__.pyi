# Written by `python -m tests.stubs`; a test keeps it fresh.
from contrafact.core.catalog import Catalog as Catalog
from contrafact.data.afhq import AFHQ as AFHQ
from contrafact.data.cars3d import Cars3D as Cars3D
from contrafact.data.celeba import CelebA as CelebA
from contrafact.data.celeba_hq import CelebAHQ as CelebAHQ
from contrafact.data.cifar10 import CIFAR10 as CIFAR10
from contrafact.data.cifar100 import CIFAR100 as CIFAR100
from contrafact.data.digits import Digits as Digits
from contrafact.data.digits_garments import DigitsGarments as DigitsGarments
from contrafact.data.dsprites import DSprites as DSprites
from contrafact.data.faces import Faces as Faces
from contrafact.data.fashion_mnist import FashionMNIST as FashionMNIST
from contrafact.data.fonts import Fonts as Fonts
from contrafact.data.imagenet100 import ImageNet100 as ImageNet100
from contrafact.data.images import Images as Images
from contrafact.data.mnist import MNIST as MNIST
from contrafact.data.mnist_stl import MNISTSTL as MNISTSTL
from contrafact.data.mpi3d import MPI3D as MPI3D
from contrafact.data.shapes3d import Shapes3D as Shapes3D
from contrafact.data.shards import Shards as Shards
from contrafact.data.small_norb import SmallNORB as SmallNORB
from contrafact.data.stl10 import STL10 as STL10

CATALOG: Catalog
