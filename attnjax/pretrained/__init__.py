"""Floor 4: folders of pretrained models as Hugging Face writes them, to models here and back.

The names are imported on first use, so that reading them does not load jax.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attnjax.pretrained.family import Family as Family
    from attnjax.pretrained.folder import Origin as Origin
    from attnjax.pretrained.folder import from_pretrained as from_pretrained
    from attnjax.pretrained.folder import save_pretrained as save_pretrained
    from attnjax.pretrained.table import Entry as Entry
else:
    from attnjax.lazy import attach

    __getattr__, __dir__, __all__ = attach(__name__)
