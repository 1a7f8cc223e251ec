from django.contrib import admin
from django.urls import path
from signups import views

import counterpunch.integrations.django
from counterpunch import dashboard


def is_staff(request: dashboard.Request) -> bool | dashboard.Redirect:
    """Who may look at the page of the jobs, and act there; others are sent to the login."""
    user = request.raw.user
    return bool(user.is_staff) or dashboard.redirect("/admin/login/?next=/admin/jobs/")


jobs_page = counterpunch.integrations.django.dashboard.urls(
    can_view=is_staff, authorize=is_staff, processes=True
)

urlpatterns = [
    path("", views.index),
    path("signup", views.signup),
    path("jobs/<job_id>", views.job_status),
    path("admin/jobs/", jobs_page),
    path("admin/", admin.site.urls),
]
