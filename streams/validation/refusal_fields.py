"""Refusals by what they have in common: the question or its answer, a limit, and the one who speaks or is sorry."""

from typing import Final

_FIELDS: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]]] = {
    "en": (
        (
            "question", "query", "this request", "that request", "this topic", "that topic", "an answer", "no answer",
            "to answer", "the answer to", "respond", "this task", "that task", "to address", "assist you",
            "help you with",
            "help with this", "help with that",
        ),
        (
            "n't", "n’t", " not ", "cannot", "unable", "beyond", "outside", "exceed", "past what", "no answer",
            "impossible", "declin", "refrain", "refuse", "out of my",
        ),
        (
            "my knowledge", "my abilit", "my capabilit", "my scope", "my reach", "my expertise", "my remit",
            "my limits",
            "my power", "my competence", "permitted", "allowed", "i'm able", "i am able", "in a position", "for me to",
            "i must", "responsibly", "sorry", "apolog", "unfortunately", "i'm afraid", "i am afraid", "regret",
            "we are unable",
        ),
    ),
    "de": (
        ("frage", "antwort", "dieses thema", "diesem thema", "dieses anliegen", "diesem anliegen"),
        (
            "übersteigt", "außerhalb", "nicht möglich", "unmöglich", "nicht beantwort", "nicht in der lage",
            "über meine",
            "keine antwort",
        ),
        ("meine", "mein ", "mir ", "ich ", "leider", "tut mir leid", "bedau", "entschuldig", "verzeih"),
    ),
    "fr": (
        ("question", "répondre", "réponse", "ce sujet", "vous aider", "t'aider"),
        (
            "impossible", "au-delà", "dépasse", "hors de", "pas en mesure", "ne peux", "ne puis", "ne saurais",
            "sors de mon", "sort de mon",
        ),
        ("malheureusement", "désolé", "navré", "hélas", "regret", "mes ", "mon ", "m'est", "ma portée", "excus"),
    ),
    "es": (
        ("pregunta", "responder", "respuesta", "contestar", "ese tema", "este tema", "ayudarte", "ayudarle"),
        (
            "fuera de", "más allá", "supera", "excede", "imposible", "no me es", "no puedo", "no podría",
            "no está a mi",
            "escapa",
        ),
        ("me temo", "lamento", "lo siento", "desafortunad", "por desgracia", "disculp", "mi ", "mis "),
    ),
    "it": (
        ("domanda", "rispondere", "risposta", "questa richiesta", "questo argomento", "aiutarti", "aiutarla"),
        (
            "oltre le mie", "fuori dal", "esula", "supera", "impossibile", "non mi è", "non rientra", "al di là",
            "non posso", "non saprei",
        ),
        ("purtroppo", "mi dispiace", "temo", "spiacente", "mie ", "mia ", "mio ", "scus"),
    ),
    "pt": (
        ("pergunta", "responder", "resposta", "esse assunto", "este assunto", "ajudá-lo", "te ajudar", "esta questão"),
        ("além d", "fora d", "ultrapassa", "excede", "impossível", "não me é", "não consigo", "não é possível", "foge"),
        ("infelizmente", "lamento", "desculp", "sinto muito", "receio", "minha", "meu", "consigo"),
    ),
    "nl": (
        ("vraag", "antwoord", "dit verzoek", "dit onderwerp"),
        ("buiten mijn", "onmogelijk", "niet mogelijk", "gaat mijn", "kan ik niet", "niet in staat", "te boven"),
        ("helaas", "sorry", "spijt", "mijn"),
    ),
    "pl": (
        ("pytani", "odpowied"),
        ("wykracza", "poza ", "niemożliw", "nie jest możliw", "nie jestem w stanie", "nie mogę", "przekracza"),
        ("niestety", "przykro", "przepraszam", "moje", "moich", "mój", "obawiam"),
    ),
    "tr": (
        ("soru", "cevap", "yanıt"),
        ("dışında", "aşıyor", "mümkün değil", "imkansız", "ötesinde", "edemiyorum", "veremiyorum", "olamıyorum"),
        ("üzgünüm", "maalesef", "ne yazık", "özür", "benim"),
    ),
    "ru": (
        ("вопрос", "ответить", "ответ на", "запрос"),
        (
            "за рамки", "за рамками", "за пределы", "за пределами", "превыша", "невозможн", "не в моих", "не могу",
            "не смогу", "вне моей",
        ),
        ("к сожалению", "боюсь", "извин", "прошу прощения", "моих", "моей", "сожалею", "увы"),
    ),
    "uk": (
        ("питанн", "запитанн", "відповісти", "відповідь на"),
        ("за межі", "поза меж", "неможлив", "не можу", "перевищу"),
        ("на жаль", "боюся", "вибач", "перепрош", "моїх", "моєї"),
    ),
    "zh": (
        ("问题", "問題", "回答", "请求", "請求", "话题"),
        ("超出", "无法", "無法", "范围", "不能", "不便", "没有办法", "无能为力", "恕"),
        ("抱歉", "对不起", "對不起", "遗憾", "不好意思", "我的能力", "我的知识", "我的范围"),
    ),
    "ja": (
        ("質問", "回答", "お答え", "リクエスト", "お力"),
        ("範囲外", "できかね", "できません", "なれません", "超えて", "いたしかね"),
        ("申し訳", "恐れ入り", "残念", "すみません", "恐縮", "私の"),
    ),
    "ko": (
        ("질문", "답변", "대답"),
        ("범위", "벗어", "어렵", "없습니다", "못합니다", "불가능", "없어요"),
        ("죄송", "아쉽", "유감", "안타깝", "저의", "제 능력"),
    ),
    "ar": (
        ("سؤال", "السؤال", "إجابة", "الإجابة", "مساعدتك"),
        ("خارج", "يتجاوز", "لا أستطيع", "لا يمكنني", "غير قادر", "لست", "مستحيل", "تفوق"),
        ("عذر", "للأسف", "آسف", "قدراتي", "أخشى", "يؤسفني"),
    ),
    "hi": (
        ("प्रश्न", "सवाल", "उत्तर", "जवाब"),
        ("बाहर", "परे", "असमर्थ", "नहीं दे", "संभव नहीं", "दायरे"),
        ("क्षमा", "खेद", "माफ़", "माफ", "दुर्भाग्य", "मेरी क्षमता", "मेरे लिए"),
    ),
}  # fmt: skip
"""Of each language, texts of which the sentence of a refusal has one of each kind."""


def has_refusing_fields(sentence: str) -> bool:
    """Whether a sentence, in lower case, has all that a refusal has."""
    return any(all(any(word in sentence for word in kind) for kind in kinds) for kinds in _FIELDS.values())
