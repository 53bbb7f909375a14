"""Pages of the people's side."""

from django.urls import path

from annotate import views, views_progress, views_wizard

urlpatterns = [
    path("projects/new/", views_wizard.new_project, name="new-project"),
    path("p/<slug:project>/label/", views.label, name="label"),
    path("p/<slug:project>/label/progress", views_progress.label_progress, name="label-progress"),
]
