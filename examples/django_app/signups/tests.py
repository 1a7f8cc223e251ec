"""How such views are tested: ``python manage.py test``."""

from django.contrib.auth.models import User
from django.test import TestCase

import counterpunch
from counterpunch.testing import fake, inline

from .jobs import HelloEmailJob, count_signups
from .models import Signup


class SignupTest(TestCase):
    def test_a_sign_up_is_greeted_after_the_commit(self) -> None:
        with inline(), self.captureOnCommitCallbacks(execute=True):
            answer = self.client.post("/signup", {"email": "ada@example.com"})
            assert not Signup.objects.get().greeted
        assert answer.status_code == 202
        assert Signup.objects.get().greeted

    def test_the_job_and_the_task_are_enqueued(self) -> None:
        with fake() as jobs:
            with self.captureOnCommitCallbacks(execute=True):
                answer = self.client.post("/signup", {"email": "ada@example.com"})
            jobs.assert_enqueued(HelloEmailJob, args=(Signup.objects.get().pk,))
            assert jobs.drain() == 2
            result = count_signups.get_result(answer.json()["task"])
            assert result.return_value == 1

    def test_nobody_is_greeted_when_the_row_is_rolled_back(self) -> None:
        with inline(), self.captureOnCommitCallbacks(execute=True):
            answer = self.client.post("/signup", {"email": "no address"})
            assert answer.status_code == 400
            handle = counterpunch.find(answer.json()["id"])
            assert handle is not None
            assert handle.status == "discarded"
        assert Signup.objects.count() == 0

    def test_the_page_is_for_staff(self) -> None:
        answer = self.client.get("/admin/jobs/")
        assert answer.status_code == 303
        assert answer["Location"] == "/admin/login/?next=/admin/jobs/"
        self.client.force_login(User.objects.create(username="ada", is_staff=True))
        assert self.client.get("/admin/jobs/").status_code == 200
