"""Routes of labeling under /api/v1/projects/<project>/."""

from django.urls import path

from annotate import api_research

urlpatterns = [path("answers", api_research.GivenAnswerList.as_view(), name="api-answers")]
