from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/v1/labeling/", include("annotate.api_urls")),
    path("p/", include("annotate.urls")),
]
