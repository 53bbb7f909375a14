"""Routes under /api/v1/projects/<project>/."""

from django.urls import path

from rlhf import api, api_evaluations

urlpatterns = [
    path("prompts", api.PromptList.as_view(), name="api-prompts"),
    path("snapshots", api.SnapshotList.as_view(), name="api-snapshots"),
    path("snapshots/<int:pk>", api.SnapshotDetail.as_view(), name="api-snapshot"),
    path("snapshots/<int:pk>/parquet", api.SnapshotParquet.as_view(), name="api-snapshot-parquet"),
    path("snapshots/<int:pk>/jsonl", api.SnapshotJsonl.as_view(), name="api-snapshot-jsonl"),
    path("runs", api.RunList.as_view(), name="api-runs"),
    path("runs/<int:pk>", api.RunDetail.as_view(), name="api-run"),
    path("runs/<int:pk>/metrics", api.RunMetrics.as_view(), name="api-run-metrics"),
    path("runs/<int:pk>/cancel", api.RunCancel.as_view(), name="api-run-cancel"),
    path("runs/<int:pk>/retry", api.RunRetry.as_view(), name="api-run-retry"),
    path("versions", api.VersionList.as_view(), name="api-versions"),
    path("versions/answers", api_evaluations.AnswersImport.as_view(), name="api-answers-import"),
    path("versions/<int:pk>", api.VersionDetail.as_view(), name="api-version"),
    path("versions/<int:pk>/report", api.VersionReport.as_view(), name="api-version-report"),
    path("evaluations", api.EvaluationList.as_view(), name="api-evaluations"),
    path("evaluations/<int:pk>", api.EvaluationDetail.as_view(), name="api-evaluation"),
    path("evaluations/<int:pk>/verdicts", api.VerdictList.as_view(), name="api-verdicts"),
    path("verdicts/import", api_evaluations.VerdictsImport.as_view(), name="api-verdicts-import"),
    path("overviews", api.EvaluationSnapshotList.as_view(), name="api-overviews"),
    path("overviews/<slug:sha256>", api.EvaluationSnapshotDetail.as_view(), name="api-overview"),
    path("overviews/<slug:sha256>/document", api.EvaluationSnapshotDocument.as_view(), name="api-overview-document"),
]
