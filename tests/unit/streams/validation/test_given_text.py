"""What answers say of a text that the request holds."""

import pytest
from support.asked import asked

from streams.validation.finished import Finished
from streams.validation.given_text import says_what_the_text_does_not

LEASE = """Lease between Harrow Estates Ltd and Ms Ioana Petrescu.
1. Rent. £1,140 per month. A late payment fee of £35 applies after 7 days.
2. Deposit. £1,710, returned within 10 days.
3. Notice. Two months' written notice."""
MEMO = """From: Dana Whitlock
We handled 2,310 orders (order 58213 was lost). Satisfaction rose from 71% to 78%. Cost per order is $3.85.
Priya and Marcus will present it on 28 October; the board meets on 6 November. Route 14 stays."""
OFFER = "Angebot an Frau Kerstin Osthoff: Schrank, 4.850 EUR. Lieferzeit: 6 Wochen. Gewährleistung 5 Jahre."
ORDER = "Приказ № 14 от 5 марта: назначить Орлову ответственной. Доставка стоит 350 рублей, срок 4 дня."


def fails(text: str, question: str, content: str, **fields: object) -> bool:
    return says_what_the_text_does_not(Finished(asked(f"{text}\n\n{question}", **fields), content, "stop"))


@pytest.mark.parametrize(
    ("text", "question", "content"),
    [
        (LEASE, "What about parking?", "Under clause 9 a space costs £45 a month."),
        (LEASE, "What is the late fee?", "A late payment fee of £53 applies after 7 days."),
        (LEASE, "How much notice is needed?", "Three months' written notice has to be given."),
        (LEASE, "Who is the tenant?", "The tenant is Mr Popescu."),
        (LEASE, "What is the deposit?", "It is £1,170."),
        (MEMO, "Which order was lost?", "It was order 58231."),
        (MEMO, "When is the board meeting?", "The board meets on 16 November."),
        (MEMO, "Summarise the memo.", "According to the memo, Gareth Pryce takes over."),
        (MEMO, "Which bus stays?", "The one on route 41."),
        (MEMO, "What was satisfaction before and after?", "It rose from 74% to 87%."),
        (OFFER, "Wie lang ist die Lieferzeit?", "Die Lieferzeit beträgt 8 Wochen."),
        (OFFER, "An wen geht es?", "An Frau Osterhage."),
        (ORDER, "Сколько стоит доставка?", "Доставка стоит 530 рублей."),
        (ORDER, "Кто ещё назначен?", "Согласно приказу № 17, назначен Громов."),
    ],
)
def test_what_the_text_does_not_hold(text, question, content):
    assert fails(text, question, content)


@pytest.mark.parametrize(
    ("text", "question", "content"),
    [
        (LEASE, "What is the rent of a year?", "£13,680: twelve payments of £1,140."),
        (LEASE, "How much is due at the start?", "£2,850, that is the rent and the deposit."),
        (LEASE, "What is the deposit?", "1710 pounds, back within ten days (clause 2)."),
        (LEASE, "Is there a clause on pets?", "No, there is no clause 4; pets are not mentioned."),
        (LEASE, "Is that usual?", "In England section 11 of the Landlord and Tenant Act 1985 has rules for this."),
        (LEASE, "Draft a mail that asks for a lower rent.", "Dear Mr Smith, I would like to pay £990 from 3 May."),
        (LEASE, "What if she pays 20 days late?", "If she paid 20 days late, a fee of £35 would be due."),
        (MEMO, "How many points did satisfaction gain?", "7 points, from 71% to 78%; that is 9.9% up."),
        (MEMO, "How much did all orders cost?", "About $8,893.50."),
        (MEMO, "When is the board meeting?", "On November 6th, nine days after the presentation."),
        (OFFER, "Was kostet das brutto?", "4.850 EUR + 19 % = 5.771,50 EUR."),
        (OFFER, "Wie lang ist die Lieferzeit?", "Sechs Wochen."),
        (
            "",
            "What is the tallest tower?",
            "Burj Khalifa with 828 m, opened on 4 January 2010; it cost $1,500,000,000.",
        ),
    ],
)
def test_what_follows_from_the_text_or_is_not_said_of_it(text, question, content):
    assert not fails(text, question, content)


def test_a_schema_and_a_text_that_is_too_long_are_left_alone():
    said = (LEASE, "What about parking?", "Under clause 9 a space costs £45 a month.")
    assert not fails(*said, response_schema={"type": "object"})
    assert not fails(LEASE + " word" * 5_000, *said[1:])
