"""Pages under /p/<project>/."""

from django.urls import path

from annotate import views

urlpatterns = [path("<slug:project>/label/", views.label, name="label")]
