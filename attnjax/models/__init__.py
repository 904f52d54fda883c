"""Floor 3: named architectures, each with a frozen config dataclass in `config.py` (free of jax).

The names are imported on first use, so that reading a config does not load jax.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attnjax.models.agents import AgentModel as AgentModel
    from attnjax.models.agents import Futures as Futures
    from attnjax.models.agents_config import AgentsConfig as AgentsConfig
    from attnjax.models.captioner import Captioner as Captioner
    from attnjax.models.captioner_config import CaptionerConfig as CaptionerConfig
    from attnjax.models.config import LanguageModelConfig as LanguageModelConfig
    from attnjax.models.config import TransformerConfig as TransformerConfig
    from attnjax.models.decoding.alignment import alignment as alignment
    from attnjax.models.decoding.beams import beams as beams
    from attnjax.models.decoding.contrastive import contrastive_search as contrastive_search
    from attnjax.models.decoding.ensemble import Ensemble as Ensemble
    from attnjax.models.decoding.generate import Decoded as Decoded
    from attnjax.models.decoding.generate import generate as generate
    from attnjax.models.decoding.generate import stream as stream
    from attnjax.models.decoding.int8 import in_int8 as in_int8
    from attnjax.models.decoding.required import required as required
    from attnjax.models.decoding.rules import rules as rules
    from attnjax.models.decoding.sampling import greedy as greedy
    from attnjax.models.decoding.sampling import sampling as sampling
    from attnjax.models.decoding.scoring import Forced as Forced
    from attnjax.models.decoding.scoring import force as force
    from attnjax.models.decoding.speculative import speculative as speculative
    from attnjax.models.detr import Detections as Detections
    from attnjax.models.detr import Detr as Detr
    from attnjax.models.detr_config import DetrConfig as DetrConfig
    from attnjax.models.detr_config import ResNetConfig as ResNetConfig
    from attnjax.models.encoder import Encoder as Encoder
    from attnjax.models.encoder_config import EncoderConfig as EncoderConfig
    from attnjax.models.encoder_decoder import Transformer as Transformer
    from attnjax.models.events import EventGRU as EventGRU
    from attnjax.models.events import EventTransformer as EventTransformer
    from attnjax.models.events_config import EventsConfig as EventsConfig
    from attnjax.models.graph import GraphModel as GraphModel
    from attnjax.models.graph_config import GraphConfig as GraphConfig
    from attnjax.models.hybrid_config import HybridConfig as HybridConfig
    from attnjax.models.image_and_text import ContrastiveModel as ContrastiveModel
    from attnjax.models.image_and_text import ContrastiveOutput as ContrastiveOutput
    from attnjax.models.interest import InterestNetwork as InterestNetwork
    from attnjax.models.language_model import LanguageModel as LanguageModel
    from attnjax.models.language_model import LanguageModelCache as LanguageModelCache
    from attnjax.models.output import Encoded as Encoded
    from attnjax.models.output import EncoderOutput as EncoderOutput
    from attnjax.models.output import ModelOutput as ModelOutput
    from attnjax.models.recommender import HistoryOutput as HistoryOutput
    from attnjax.models.recommender import Recommender as Recommender
    from attnjax.models.recommender_config import InterestConfig as InterestConfig
    from attnjax.models.recommender_config import RecommenderConfig as RecommenderConfig
    from attnjax.models.recurrent import RecurrentEncoderDecoder as RecurrentEncoderDecoder
    from attnjax.models.recurrent_config import RecurrentConfig as RecurrentConfig
    from attnjax.models.recurrent_writer import RecurrentCache as RecurrentCache
    from attnjax.models.show_attend_tell import RecurrentCaptioner as RecurrentCaptioner
    from attnjax.models.swin import SwinTransformer as SwinTransformer
    from attnjax.models.swin_config import SwinConfig as SwinConfig
    from attnjax.models.table import TableTransformer as TableTransformer
    from attnjax.models.table_config import TableConfig as TableConfig
    from attnjax.models.target_writer import DecoderCache as DecoderCache
    from attnjax.models.vision import VisionTransformer as VisionTransformer
    from attnjax.models.vision_config import ContrastiveConfig as ContrastiveConfig
    from attnjax.models.vision_config import VisionConfig as VisionConfig
    from attnjax.pretrained.folder import from_pretrained as from_pretrained
    from attnjax.pretrained.folder import save_pretrained as save_pretrained
else:
    from attnjax.lazy import attach

    __getattr__, __dir__, __all__ = attach(__name__)
