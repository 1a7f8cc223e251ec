from __future__ import annotations

import host_jobs
from django.http import HttpRequest, HttpResponse
from django.urls import re_path


def answer(request: HttpRequest) -> HttpResponse:
    return HttpResponse(host_jobs.answer(request.path), content_type="application/json")


urlpatterns = [re_path(r"^.*$", answer)]
