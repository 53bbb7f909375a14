"""Home: my projects, and the first visit, which makes the admin account."""

from __future__ import annotations

from django.contrib.auth import login
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from rlhf import projects
from rlhf.forms import FirstAdminForm
from rlhf.models import Membership


@login_not_required
def home(request: HttpRequest) -> HttpResponse:
    if not request.user.is_authenticated:
        return redirect("login" if User.objects.exists() else "setup")
    memberships = Membership.objects.filter(user_id=request.user.pk).select_related("project").order_by("project__name")
    return render(request, "rlhf/home.html", {"memberships": memberships})


@login_not_required
@require_http_methods(["GET", "POST"])
def setup(request: HttpRequest) -> HttpResponse:
    """Open only while nobody has an account."""
    if User.objects.exists():
        return redirect("home")
    form = FirstAdminForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        user = projects.first_admin(username=form.cleaned_data["username"], password=form.cleaned_data["password1"])
        login(request, user, backend="django.contrib.auth.backends.ModelBackend")
        return redirect("home")
    return render(request, "rlhf/setup.html", {"form": form})
