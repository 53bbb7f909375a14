"""Addresses behind the numbers of an overview: made thousands at a time, so the URL pattern is asked once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from rlhf.evaluation_snapshots import SHORTEST

Piece = Mapping[str, Any]


class Links:
    def __init__(self, *, project: str, sha256: str) -> None:
        self.project, self.sha256 = project, sha256
        self._frozen = {"snapshot": sha256[:SHORTEST]}
        self._evaluation = reverse("evaluation", kwargs={"project": project, "pk": 0})
        self._pair = reverse("pair", kwargs={"project": project, "pk": 0, "prompt": 0})

    def pairs(self, *, evaluation: int, judge: int, split: str, **filters: object) -> str:
        """The list of the pairs behind a number."""
        query = urlencode({"judge": judge, "split": split, **filters, **self._frozen})
        return f"{self._evaluation.replace('/0/', f'/{evaluation}/')}?{query}"

    def cell(self, cell: Piece, **filters: object) -> str:
        return self.pairs(evaluation=cell["evaluation"], judge=cell["judge"], split=cell["split"], **filters)

    def pair(self, *, evaluation: int, prompt: int, judge: int) -> str:
        """The two answers."""
        address = self._pair.replace("/0/", f"/{evaluation}/", 1).replace("/0/", f"/{prompt}/", 1)
        return f"{address}?{urlencode({'judge': judge, **self._frozen})}"

    def csv(self, *, figure: str, **options: object) -> str:
        kwargs = {"project": self.project, "sha256": self.sha256, "figure": figure}
        address = reverse("evaluation-snapshot-csv", kwargs=kwargs)
        return f"{address}?{urlencode(options)}" if options else address
