from django.urls import path
from signups import views

urlpatterns = [
    path("", views.index),
    path("signup", views.signup),
    path("jobs/<job_id>", views.job_status),
]
