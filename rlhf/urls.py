"""Pages of the record of learning."""

from django.urls import path

from rlhf import (
    views_dashboard,
    views_datasets,
    views_evaluations,
    views_home,
    views_pairs,
    views_people,
    views_runs,
    views_try,
    views_versions,
)

urlpatterns = [
    path("", views_home.home, name="home"),
    path("setup/", views_home.setup, name="setup"),
    path("p/<slug:project>/", views_dashboard.dashboard, name="project"),
    path("p/<slug:project>/now", views_dashboard.now, name="project-now"),
    path("p/<slug:project>/loop", views_people.switch_loop, name="switch-loop"),
    path("p/<slug:project>/people/", views_people.people, name="people"),
    path("p/<slug:project>/people/<int:user>/remove", views_people.remove_person, name="remove-person"),
    path("p/<slug:project>/evaluations/<int:pk>/", views_evaluations.evaluation, name="evaluation"),
    path("p/<slug:project>/evaluations/<int:pk>/pairs.csv", views_evaluations.pairs_csv, name="pairs-csv"),
    path("p/<slug:project>/evaluations/<int:pk>/pairs/<int:prompt>/", views_pairs.pair, name="pair"),
    path("p/<slug:project>/runs/", views_runs.run_list, name="runs"),
    path("p/<slug:project>/runs/live", views_runs.run_list_live, name="runs-live"),
    path("p/<slug:project>/runs/<int:pk>/", views_runs.run_page, name="run"),
    path("p/<slug:project>/runs/<int:pk>/live", views_runs.run_live, name="run-live"),
    path("p/<slug:project>/runs/<int:pk>/samples", views_runs.run_samples, name="run-samples"),
    path("p/<slug:project>/runs/<int:pk>/cancel", views_runs.cancel, name="cancel-run"),
    path("p/<slug:project>/runs/<int:pk>/retry", views_runs.retry, name="retry-run"),
    path("p/<slug:project>/versions/", views_versions.version_list, name="versions"),
    path("p/<slug:project>/versions/<int:pk>/", views_versions.version_page, name="version"),
    path("p/<slug:project>/versions/<int:pk>/report/", views_versions.report_card, name="report-card"),
    path("p/<slug:project>/versions/<int:pk>/README.md", views_versions.model_card, name="model-card"),
    path("p/<slug:project>/versions/<int:pk>/weights", views_versions.weights, name="weights"),
    path("p/<slug:project>/datasets/", views_datasets.datasets, name="datasets"),
    path("p/<slug:project>/datasets/tokens", views_datasets.create_token, name="create-token"),
    path("p/<slug:project>/datasets/tokens/revoke", views_datasets.revoke_token, name="revoke-token"),
    path("p/<slug:project>/prompts/", views_datasets.prompt_list, name="prompts"),
    path("p/<slug:project>/try/", views_try.try_form, name="try"),
    path("p/<slug:project>/try/<slug:key>/", views_try.try_answer, name="try-answer"),
    path("p/<slug:project>/try/<slug:key>/live", views_try.try_live, name="try-live"),
]
