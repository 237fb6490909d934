"""How good a picture is, as it is measured, stored and shown."""

from pydantic import BaseModel, ConfigDict, Field


class Quality(BaseModel):
    """How good the picture is: measured, and compared with `quality.*` of the settings."""

    model_config = ConfigDict(frozen=True)

    sharpness: float = Field(
        description="About 1 if in focus, below 0.5 if blurred.", examples=[1.13]
    )
    brightest: float = Field(description="Luma of the brightest 1 %, 0 to 1.", examples=[0.91])
    clipped: float = Field(
        description="Share of pixels that are white or burnt out, 0 to 1.", examples=[0.02]
    )
    contrast: float = Field(
        description="Luma of the brightest 1 % minus that of the darkest 1 %.", examples=[0.84]
    )
    long_side: int = Field(description="Longer side, in pixels.", examples=[640])
    aspect: float = Field(description="Longer side divided by the shorter one.", examples=[1.5])
    jpeg_quality: int | None = Field(description="1 to 100; null: not a JPEG.", examples=[88])
