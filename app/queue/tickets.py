"""What a worker is given: which job, and the how-manieth time it was handed over."""


def write(job_id: str, hand_over: int) -> str:
    """Give the ticket of a hand-over: `job_…`, then `job_….2`, ….

    A job that was paused in the queue and resumed has two tickets there. The older one takes nothing.
    """
    return job_id if hand_over == 1 else f"{job_id}.{hand_over}"


def read(ticket: str) -> tuple[str, int]:
    """Give the job and the number of the hand-over."""
    job_id, _, hand_over = ticket.partition(".")
    return job_id, int(hand_over or 1)
