"""Money and personal data in texts: many notations found, look-alikes left alone, and a bounded time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.routing.sensitive_text import mentions_money, mentions_personal_data

MONEY = """
It costs $5.|$1,200.50|US$ 40 per seat|A$30|R$ 1.200,00|£3m|about €12|1.200,50 €|1 200 €|EUR 4.95|4,95 EUR
USD1000|CHF 1'000.–|CHF 1’000|19,- €|100,-- EUR|5 Mio. Euro|3,5 Mrd. €|12 Tsd. €|$5k|$2.5bn|$ 7|-$5|$-5|20k USD
1.2 million dollars|five of 3 million euros|3 millions d'euros|dos: 40 dólares|12 reais|R$5|3 milhões de reais
50 zł|199 Kč|500 kr|kr 500|SEK 500|1 000 руб.|5 тыс. рублей|3 млн долларов|¥500|500円|3万円|1億ドル|100元|5亿元|5 美元
￥1,200|1만원|5,000원|₹500|Rs. 500|Rs 1,00,000|5 lakh rupees|2 crore rupees|₺250|250 TL|100 TRY|٥٠ دولار|５００円|₿ 1
25 cents|10 bucks|30 pounds|₪40|100 บาท|₫50000|200 PHP|Das macht 300 Franken|12,50€|12.50$|5-euro voucher
la somme de 200 euros|1.5 milioni di euro|40 dollari|€ -5|CAD$12|HK$ 80
"""
NO_MONEY = """
There are 5 apples|version 3.11.4|call me at 5|USD is a currency|the dollar fell|20 pounds of flour
COP 26 in Glasgow|PHP 8.2 released|PLAN 9|AUSD 5 tokens|x = "$1"|echo '${1}'|`$1`|see section 3 of 4
10 % of them|12 km|5 km/h|in 2024|EURO 2024|5 m|try 5 times|TRY 3 TIMES|3 kraft|4 eurosceptics|7 centsible
5 krill|two million people|1,000,000 people|B2B|A4|5k run|10k users|$|€|5
"""
PERSONAL = """
write to ann@example.org|Ann.Lee+tag@mail.example.co.uk, please|müller@straße.de|иван@почта.рф|+49 170 1234567
+1 (555) 010-9999|(+44) 20 7946 0958|+33612345678|+55 11 91234-5678|(555) 123-4567|555-123-4567|555.123.4567
01 23 45 67 89|01.23.45.67.89|0171/1234567|030 1234567|020 7946 0958|07700 900123|tel: 612345678
Telefon 612 34 56 78|My phone is 5551234567|手机号13812345678|電話：0312345678|мой телефон 9161234567
WhatsApp 11987654321|DE89 3704 0044 0532 0130 00|DE89370400440532013000|NO93 8601 1117 947
GB82WEST12345698765432 is it|IBAN: FR14 2004 1010 0505 0001 3M02 606 BIC|de89370400440532013000
MT84MALT011000012345MTLCAST001S|FK88 SC12 3456 7890 12|HN88CABF00000000000250005469
4111 1111 1111 1111|4111-1111-1111-1111|4111111111111111|5500005555555559
378282246310005|3782 822463 10005|6011000990139424|SSN 123-45-6789|CPF 529.982.247-25|date of birth: 3 May 1990
geboren am 03.05.1990|né le 3 mai 1990|DOB 1990-05-03|出生日期：1990年
"""
NOT_PERSONAL = """
order 48213|order 4111111111111112|4111 1111 1111 1112|1234 5678 9012 3456|DE89 3704 0044 0532 0130 01
AB12 3456 7890 1234|@ann says hi|@app.route("/x")|a @ b.com|pkg@1.2.3|user@localhost|2 + 12345678 is|x+12345678
3+4912345678|2024-01-15|15/01/2024|15.01.2024|v10.20.30|1,234,567.89|192.168.100.200|hotel 123456
intelligent 123456|000-12-3456|666-12-3456|912-34-5678|529.982.247-26|111.111.111-11|1700000000000
9999999999999999|0.1234567|part 12-345-67|chapter 01 02|born to run|2026-10-11T12:30:45
550e8400-e29b-41d4-a716-446655440000|@|+|+49|the date of birth is a field|phone bill|a@b
"""


def cases(block):
    return [text for line in block.strip().split("\n") for text in line.split("|") if text]


@pytest.mark.parametrize("text", cases(MONEY))
def test_money(text):
    assert mentions_money(text)
    assert mentions_money(f"Hallo, {text}, 再见")


@pytest.mark.parametrize("text", cases(NO_MONEY))
def test_no_money(text):
    assert not mentions_money(text)


@pytest.mark.parametrize("text", cases(PERSONAL))
def test_personal_data(text):
    assert mentions_personal_data(text)
    assert mentions_personal_data(f"Hallo, {text}, 再见")


@pytest.mark.parametrize("text", cases(NOT_PERSONAL))
def test_no_personal_data(text):
    assert not mentions_personal_data(text)


@given(st.text(max_size=200))
def test_any_text_is_read(text):
    mentions_money(text)
    mentions_personal_data(text)


@given(st.integers(0, 10**13), st.sampled_from(["${}", "{} €", "EUR {}", "{} USD", "{}円"]))
def test_any_amount_with_a_currency_is_money(amount, notation):
    assert mentions_money(notation.format(amount))
    assert mentions_money(notation.format(f"{amount:,}"))


@given(st.integers(10**14, 10**15 - 1))
def test_of_ten_card_numbers_one_has_the_right_last_digit(leading):
    numbers = [f"4{str(leading)[:14]}{last}" for last in range(10)]
    assert sum(map(mentions_personal_data, numbers)) == 1
