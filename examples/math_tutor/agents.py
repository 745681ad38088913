"""Three agents. Run them with ``Runner.run``, or serve them: ``dragoman serve examples/math_tutor``."""

import math

from agents import Agent, function_tool


@function_tool
def solve_quadratic(a: float, b: float, c: float) -> str:
    """Solve a*x**2 + b*x + c = 0 over the real numbers.

    Args:
        a: The coefficient of x**2; not zero.
        b: The coefficient of x.
        c: The constant.
    """
    if a == 0:
        return "That is not a quadratic equation: a is zero."
    discriminant = b * b - 4 * a * c
    if discriminant < 0:
        return "There is no real solution: the discriminant is negative."
    roots = sorted({(-b + sign * math.sqrt(discriminant)) / (2 * a) for sign in (-1, 1)})
    return " and ".join(f"x = {root:g}" for root in roots)


@function_tool
def prime_factors(number: int) -> str:
    """Factorise a whole number into primes.

    Args:
        number: A whole number from 2 to a million million.
    """
    if not 2 <= number <= 10**12:
        return "Only whole numbers from 2 to a million million can be factorised."
    factors, rest, divisor = [], number, 2
    while divisor * divisor <= rest:
        while rest % divisor == 0:
            factors.append(divisor)
            rest //= divisor
        divisor += 1
    if rest > 1:
        factors.append(rest)
    return " × ".join(map(str, factors))  # noqa: RUF001 - a product is written with a cross


math_tutor = Agent(
    name="Math Tutor",
    handoff_description="Specialist for math: equations, primes, algebra and geometry.",
    instructions="You help with math problems. Use your tools, and explain each step in one sentence.",
    tools=[solve_quadratic, prime_factors],
)

writing_coach = Agent(
    name="Writing Coach",
    handoff_description="Specialist for essays, grammar and style.",
    instructions="You help to write better essays. Ask what the reader should remember.",
)

homework_desk = Agent(
    name="Homework Desk",
    handoff_description="The first person a student talks to.",
    instructions="You decide which specialist helps with the student's homework, and hand over.",
    handoffs=[math_tutor, writing_coach],
)
