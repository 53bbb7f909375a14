"""What a run holds while it runs: whoever waits for a server, or only compares texts, leaves the device to others."""

from __future__ import annotations

from rlhf.models import ModelVersion, Run

CPU_KINDS = frozenset({Run.Kind.FREEZE, Run.Kind.ESTIMATE, Run.Kind.DELIVER})
JUDGED_BY = {"openai": Run.Resource.NETWORK, "verifier": Run.Resource.CPU}  # a judge's backend; others need a device


def of(*, run: Run) -> Run.Resource:
    if run.kind in CPU_KINDS:
        return Run.Resource.CPU
    if run.kind == Run.Kind.JUDGE:
        return JUDGED_BY.get(run.configuration.get("backend", ""), Run.Resource.GPU)
    is_endpoint = run.policy is not None and run.policy.kind == ModelVersion.Kind.ENDPOINT
    if run.kind == Run.Kind.SAMPLE and (is_endpoint or _backend(run) == "openai"):
        return Run.Resource.NETWORK
    return Run.Resource.GPU


def _backend(run: Run) -> str:
    """Of sampling."""
    return str(run.configuration.get("sampling", {}).get("backend", "local"))
