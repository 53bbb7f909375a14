"""Routes under /api/v1/labeling/."""

from django.urls import path

from annotate import api

urlpatterns = [
    path("<slug:project>/next", api.NextView.as_view(), name="labeling-next"),
    path("<slug:project>/prefetch", api.PrefetchView.as_view(), name="labeling-prefetch"),
    path("<slug:project>/assignments/<int:assignment>/renew", api.RenewView.as_view(), name="labeling-renew"),
    path("<slug:project>/assignments/<int:assignment>/draft", api.DraftView.as_view(), name="labeling-draft"),
    path("<slug:project>/assignments/<int:assignment>/submit", api.SubmitView.as_view(), name="labeling-submit"),
    path("<slug:project>/assignments/<int:assignment>/skip", api.SkipView.as_view(), name="labeling-skip"),
    path("<slug:project>/undo", api.UndoView.as_view(), name="labeling-undo"),
    path("<slug:project>/guidelines/<int:protocol>/read", api.GuidelinesReadView.as_view(), name="labeling-read"),
    path("<slug:project>/settings", api.SettingsView.as_view(), name="labeling-settings"),
]
