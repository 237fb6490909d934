"""How good a picture is, as it is measured, stored and shown."""

from pydantic import BaseModel, ConfigDict, Field


class Quality(BaseModel):
    """How good the picture is: measured, and held against `quality.*` of the settings."""

    model_config = ConfigDict(frozen=True)

    sharpness: float = Field(description="About 1 in focus, below 0.5 blurred.", examples=[1.13])
    brightest: float = Field(description="Luma of the brightest 1 %, 0 to 1.", examples=[0.91])
    clipped: float = Field(description="Share that is white or burnt out, 0 to 1.", examples=[0.02])
    contrast: float = Field(
        description="Luma of the brightest 1 % less that of the darkest.", examples=[0.84]
    )
    long_side: int = Field(description="Pixels.", examples=[640])
    aspect: float = Field(description="Long side over short side.", examples=[1.5])
    jpeg_quality: int | None = Field(description="1 to 100; null: no JPEG.", examples=[88])
