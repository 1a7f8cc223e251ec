from django.tasks import task

from counterpunch import Job, Retry

from .models import Signup


class HelloEmailJob(Job):
    workers = 4
    retry = Retry(max_attempts=5, on=(OSError,))

    # The id, not the row: what the job reads is then as fresh as the moment it runs.
    def perform(self, signup_id: int, *, greeting: str = "hi") -> str:
        signup = Signup.objects.get(pk=signup_id)
        message = f"{greeting}, {signup.email}"  # send it here
        Signup.objects.filter(pk=signup_id).update(greeted=True)
        return message


@task
def count_signups() -> int:
    """The same through Django's own task framework."""
    return Signup.objects.count()
