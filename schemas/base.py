"""The two bases every model of this package builds on."""

from pydantic import BaseModel, ConfigDict


class Closed(BaseModel):
    """A shape we own: an unknown member is an error."""

    model_config = ConfigDict(extra="forbid", defer_build=True)


class Open(BaseModel):
    """A shape read under the MTHDS reader rule: unknown members are kept."""

    model_config = ConfigDict(extra="allow", defer_build=True)
