"""Pages of the people's side."""

from django.urls import path

from annotate import views, views_adjudication, views_labelers, views_me, views_progress, views_wizard

urlpatterns = [
    path("projects/new/", views_wizard.new_project, name="new-project"),
    path("p/<slug:project>/label/", views.label, name="label"),
    path("p/<slug:project>/label/progress", views_progress.label_progress, name="label-progress"),
    path("p/<slug:project>/label/me/", views_me.me, name="label-me"),
    path("p/<slug:project>/labelers/", views_labelers.labelers, name="labelers"),
    path("p/<slug:project>/labelers/<int:user>/", views_labelers.labeler, name="labeler"),
    path("p/<slug:project>/labelers/<int:user>/pause", views_labelers.pause, name="pause-labeler"),
    path("p/<slug:project>/labelers/<int:user>/resume", views_labelers.resume, name="resume-labeler"),
    path("p/<slug:project>/labelers/<int:user>/requalify", views_labelers.requalify, name="requalify-labeler"),
    path("p/<slug:project>/adjudication/", views_adjudication.queue, name="adjudication"),
    path("p/<slug:project>/adjudication/<int:task>/", views_adjudication.task, name="adjudicate"),
]
