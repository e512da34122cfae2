"""Which answers can be held against a text of the request, and which of their sentences."""

import re
from typing import Final

_INSTRUCTION: Final = 220
"""Characters at the start and at the end of a message in which what is to be done stands."""
_LONGEST_SENTENCE: Final = 200
_FEW: Final = 3
"""Sentences of a message without lines that may hold a text."""

_ADDS: Final = re.compile(
    r"\b(?:convert|calculat|comput|write|draft|compos|repl(?:y|ies)|respond|answer (?:him|her|them|the)|e-?mail"
    r"|letter|suggest|recommend"
    r"|ideas?\b|propos|plan\b|estimat|brainstorm"
    r"|invent|story|imagin|rewrit|improv|background|advi[cs]e|tips?\b|should (?:i|we)|how (?:can|do|would|should"
    r"|could) (?:i|we)|fictional|example|generat"
    r"|creat|make up|translat|continu|complet|expand|what if|why\b|fair\b|worth|risk|suppose|compare (?:it|this"
    r"|that) (?:to|with)|outside|other |typical|market|negotiat|counter)"
    r"|berechne|calcul|calcola|рассчит|посчита|计算|計算|계산|umrechn|warum|pourquoi|por qué|perché|porque"
    r"|почему|was kann|schreib|entwurf|entwirf|verfass|antworte|vorschl"
    r"|empfehl|idee|übersetz|rédig|écri[st]|propos|conseil|répond|tradui|escrib|redact|propón|suger"
    r"|consej|traduc|responde|scriv|consigl|tradu|escrev|schrijf|antwoord|vertaal|napisz|zapropon|przetłum|\byaz"
    r"|öner|çevir|напиши|предлож|посовет|ответь|перевед"
    r"|写|建议|翻译|回复|書いて|提案|訳|返信|작성|써\b|제안|번역|اكتب|اقترح|ترجم|लिख|सुझा|अनुवाद",
    re.IGNORECASE,
)
_TAKES_OUT: Final = re.compile(
    r"summar|tl;?dr|zusammenfass|zusammen\b|résum|resum|riassu|samenvat|\bvat\b|podsum|streść|özet|резюм|кратк"
    r"|суть|总结|摘要|概括|要約|まとめ|요약|لخص|ملخص|सारांश|extract|key (?:facts|points)",
    re.IGNORECASE,
)
# A sentence that computes, supposes, denies or estimates is not held against the text.
_NOT_STATED: Final = re.compile(
    r"[=×÷≈±~*]|\b(?:comes? to|amounts? to|works? out|adds? up|just)\b|\s[+/−–-]\s|\d\s?x\s?\d|\b(?:if|would"
    r"|could|might|suppose|assum|e\.g\.|for (?:example|instance)"
    r"|such as|usual|typical|general|common|about(?=\s[\d$€£])|around|roughly|approx"
    r"|nearly|almost|over|under the|total|sum|average|difference|more than|less|increase|growth|saving"
    r"|per cent of|altogether|combined|midpoint|half|twice(?! an? )|double|triple|not?\b|neither|nor|never|without"
    r"|isn['’]t|doesn['’]t|n['’]t|instead|rather than|old\b"
    r"|wenn|falls|würde|könnte|etwa|circa|ca\.|rund|zum beispiel|z\. ?b\.|üblich|insgesamt|summe|zusammen"
    r"|kein\w*|nicht|statt|durchschnitt|brutto|netto|also"
    r"|si|serait|pourrait|environ|par exemple|total\w*|somme|pas|aucun\w*|ni|soit|moyenne|habitual\w*|ejemplo"
    r"|aproximadamente|unos|podría|sería|suma|no|sin|ninguna?|media"
    r"|se|circa|esempio|sarebbe|totale|somma|non|senza|nessun\w*|media|aproximadament\w*|exemplo|seria|soma|não"
    r"|sem|nenhum\w*"
    r"|ongeveer|bijvoorbeeld|zou|totaal|geen|niet|około|gdyby|razem|suma|nie|bez|brak|yaklaşık|örneğin|eğer"
    r"|toplam|değil|yok"
    r"|если|примерно|около|например|итого|всего|сумм\w+|не|нет|без|якщо|приблизно|разом|немає)\b|大约|约|如果"
    r"|例如|总|共|没有|不|未|約|もし|例えば|合計|ありません|ない|約|약|만약|예를|총|합계|없|않|حوالي|إذا|مثلا"
    r"|إجمالي|لا|ليس|लगभग|अगर|उदाहरण|कुल|नहीं",
    re.IGNORECASE,
)
_ASKS: Final = re.compile(
    r"[?？؟]|\b(?:list|name|find|tell|give|explain|break ?down|identify|nenne|nenn|erkläre|liste|donne|cite"
    r"|liste|explique|dime|indica|enumera|elenca|spiega|liste|noem|wymień|назови|укажи)\b|列出|说明|教えて"
    r"|挙げて|알려|اذكر|बताइए|बताएं",
    re.IGNORECASE,
)
_SENTENCE_END: Final = re.compile(r"[.!?:;]\s|[。！？]")


def is_about_text(question: str, *, has_more: bool) -> bool:
    """Whether a request holds a text, and asks for what stands in it rather than for more.

    Args:
        question: The last message of the user.
        has_more: Whether a system prompt, or the result of a tool, may hold the text.
    """
    if "\n" not in question.strip() and not has_more and _SENTENCE_END.subn("", question)[1] < _FEW:
        return False
    asked = instruction_of(question)
    if _TAKES_OUT.search(asked):
        return True
    return _ASKS.search(asked) is not None and _ADDS.search(asked) is None


def instruction_of(question: str) -> str:
    """Return what is to be done with the text: what stands apart from it before or after it."""
    first, *_, last = (parts := question.split("\n\n"))[0], parts[-1]
    apart = [part for part in (first, last) if len(part) <= _INSTRUCTION]
    if len(parts) > 1 and apart:
        return "\n".join(apart)
    *_, last = question.rstrip().split("\n")
    return f"{question[: _INSTRUCTION // 2]}\n{last[-_INSTRUCTION:]}"


def is_stated(text: str, at: int) -> bool:
    """Whether the sentence says plainly that it is so."""
    start = max(text.rfind("\n", 0, at), text.rfind(". ", 0, at), text.rfind("。", 0, at), at - _LONGEST_SENTENCE) + 1
    ends = [end for end in (text.find("\n", at), text.find(". ", at), text.find("。", at)) if end >= 0]
    return _NOT_STATED.search(text, start, min([*ends, at + _LONGEST_SENTENCE])) is None
