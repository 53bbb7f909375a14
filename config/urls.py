"""Every address of Hone."""

from csp.constants import SELF, UNSAFE_INLINE
from csp.decorators import csp_replace
from django.contrib import admin
from django.contrib.auth import views as auth_views
from django.urls import URLPattern, URLResolver, include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from rlhf import languages

# Swagger's page styles its own elements; its script comes from a file, so scripts stay as strict as everywhere.
docs = csp_replace({"style-src": [SELF, UNSAFE_INLINE]})(SpectacularSwaggerSplitView.as_view(url_name="schema"))

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("rlhf.urls")),
    path("", include("annotate.urls")),
    path("login", auth_views.LoginView.as_view(), name="login"),
    path("logout", auth_views.LogoutView.as_view(), name="logout"),
    path("language", languages.choose, name="language"),
    path("texts/<str:language>-<str:digest>.js", languages.script_texts, name="script-texts"),
    path("admin/", admin.site.urls),
    path("api/v1/projects/<slug:project>/", include("rlhf.api_urls")),
    path("api/v1/projects/<slug:project>/", include("annotate.api_research_urls")),
    path("api/v1/labeling/", include("annotate.api_urls")),
    path("api/v1/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/v1/docs/", docs, name="docs"),
]
