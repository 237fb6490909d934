"""What routes ask for: the parts, built once, and who calls."""

from typing import Annotated

from fastapi import Depends, Request

from app.api import security
from app.parts import Parts


def parts(request: Request) -> Parts:
    found: Parts = request.app.state.parts
    return found


Joined = Annotated[Parts, Depends(parts)]
Caller = Annotated[security.Caller, Depends(security.caller)]
Operator = Annotated[security.Caller, Depends(security.operator)]
