from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

import counterpunch

from .jobs import HelloEmailJob, count_signups
from .models import Signup


def index(request: HttpRequest) -> JsonResponse:
    greeted = Signup.objects.filter(greeted=True).count()
    return JsonResponse({"signups": Signup.objects.count(), "greeted": greeted})


@csrf_exempt
@require_POST
def signup(request: HttpRequest) -> JsonResponse:
    """Store the sign-up and greet it; if the row is not committed, nobody is greeted."""
    row = Signup(email=request.POST.get("email", ""))
    with transaction.atomic():
        row.save()
        # Both wait for the commit, so what follows may still change its mind.
        handle = HelloEmailJob.using(after_commit=True).perform_async(row.pk)
        counted = count_signups.enqueue()
        try:
            row.full_clean()
        except ValidationError as exc:
            transaction.set_rollback(True)
            return JsonResponse({"errors": exc.message_dict, "id": handle.id}, status=400)
    return JsonResponse({"id": handle.id, "task": counted.id}, status=202)


def job_status(request: HttpRequest, job_id: str) -> JsonResponse:
    handle = counterpunch.find(job_id)
    if handle is None:
        return JsonResponse({"error": "no such job"}, status=404)
    return JsonResponse({"id": handle.id, "status": handle.status, "attempt": handle.attempt})
