"""How refusals and "I don't know" are put, a language an entry."""

import re
from typing import Final

_PHRASES: Final[dict[str, tuple[tuple[str, ...], str]]] = {
    "en": (
        (
            " i ",
            " i'",
            " i’",
            " my ",
            " as an ai",
            " for me",
            " outside ",
            " beyond ",
            " falls ",
            " unable",
            " unknown",
            " no idea",
            " no clue",
            " not sure",
            " can't say",
            " cannot ",
            " hard to say",
            " beats me",
            " past what",
            " can't be",
            " can’t be",
        ),
        (
            r"\bi(?:['’]m| am)? (?:really |honestly |simply |just )?(?:(?:do not|don['’]t) (?:actually )?(?:know"
            r"|have (?:any |enough |sufficient |access|the |specific |reliable )*(?:knowledge|information"
            r"|context|data|details?|access|answer|expertise|opinions?|preferences?|personal)"
            r"|feel (?:comfortable|able))|(?:not sure|unsure|uncertain|not certain)(?! (?:if|whether) you)"
            r"|(?:unable|not able|not in a position|not (?:allowed|permitted|equipped|designed|comfortable"
            r"|qualified)) (?!to (?:attend|come|join|make|go|meet|be|pay|accept|travel|deliver|ship|return|work"
            r"|stay|take part))|(?:must|have to|need to|would prefer to|['’]ll have to|prefer to|will have to"
            r"|['’]d prefer to) (?:respectfully |politely )?(?:decline|pass|refuse|abstain|refrain)"
            r"|have (?:no (?:idea|clue|information|knowledge|data|answer|way of)|to say i (?:do not"
            r"|don['’]t) know)|(?:lack|am lacking|['’]m lacking) (?:the|any|sufficient|enough)|(?:can['’]t"
            r"|cannot|can not|could not|couldn['’]t|won['’]t|will not|wouldn['’]t) (?:really |actually "
            r"|currently |in good conscience )?(?:be able to )?(?:help|assist|answer|provide|comply|do (?:that"
            r"|this)|respond|process|fulfil|complete (?:this|that)|take (?:this|that) on|say (?:for (?:sure"
            r"|certain)|with)|offer|engage|speak to|discuss|tell you|give you|be of|generate|write (?:that|this)"
            r"|create (?:that|this)|produce|support|determine|make (?:a|that)|go into))|\bi['’]d rather not\b"
            r"|\bi would rather not\b|\b(?:i['’]m|i am) afraid (?:that )?(?:i (?:can|do|am|have)|(?:this|that"
            r"|it) is (?:not something|beyond|outside))|\b(?:not something (?:that )?i(?:['’]m| am)? (?:can"
            r"|could|am able|able|will|feel)|(?:is|are|falls?|lies?|goes) (?:well |far |a bit |rather "
            r"|somewhat )?(?:beyond|outside) (?:of )?(?:what i|my|the (?:scope|range|limits) of (?:what|my)))"
            r"|\bmy (?:knowledge|training(?: data)?|abilities|capabilities|expertise|guidelines"
            r"|programming) (?:does not|doesn['’]t|do not|don['’]t|is limited|prevents?)"
            r"|\bas an ai(?: (?:language )?model| assistant)?\b|\b(?:not|isn['’]t) enough (?:information|context"
            r"|data|detail)s? (?:available )?for me\b|\A(?:sorry,? |hmm,? )?(?:(?:i have )?no (?:idea|clue)"
            r"|unable to (?:answer|determine|help|say|comply|process)|unknown|not sure|can['’]t say"
            r"|cannot (?:answer|say|help|comply|determine|assist)|i['’]ll pass|hard to say|beats me)\b"
            r"|\bnot possible for me\b|\b(?:goes|is) (?:past|beyond|outside)(?: of)? what i\b|\b(?:this"
            r"|that) (?:request|question|query|task) (?:can['’]t|cannot|can not|could not) be (?:fulfilled"
            r"|answered|processed|completed|addressed)"
        ),
    ),
    "de": (
        (" nicht", " kein", " als ki", "überfragt", " mir "),
        (
            r"\bich wei(?:ß|ss) (?:es |das |darüber |dazu )?(?:leider |auch "
            r"|ehrlich gesagt )?nicht\b|\bdas wei(?:ß|ss) ich (?:leider )?nicht|\b(?:kann|darf|möchte"
            r"|werde) (?:ich )?(?:(?:ihnen|dir|euch|dazu|dabei|hier|hierzu|hierbei|damit|darauf|das"
            r"|diese[rnms]? (?:frage|anfrage|bitte)|die frage|leider|ich"
            r"|bei diese[rm] \w+) ){0,5}(?:leider )?(?:nicht (?:weiterhelfen|helfen|beantworten|sagen|antworten"
            r"|dienen|behilflich|erfüllen|nachkommen|ausführen|bearbeiten|unterstützen|weiter)|keine (?:auskunft"
            r"|antwort|angaben?|aussage|hilfe))|\b(?:liegen|habe|besitze) (?:mir |ich )?(?:dazu |hierzu "
            r"|darüber |leider )*(?:leider )?(?:keine(?:rlei)?|nicht genügend"
            r"|nicht genug) (?:\w+ )?(?:informationen|angaben|daten|kenntnisse|antwort|ahnung|erkenntnisse)"
            r"|\b(?:dazu|hierzu) (?:liegen mir|habe ich|fehlen mir) |\bkeine ahnung\b"
            r"|\bbin ich (?:leider )?(?:überfragt|nicht in der lage)|\bals ki(?:-| )(?:sprachmodell|modell"
            r"|assistent)"
        ),
    ),
    "fr": (
        (" je ", "aucune idée", " en tant "),
        (
            r"\bje ne (?:sais (?:pas|malheureusement)|peux (?:malheureusement |hélas )?pas (?:vous "
            r"|t['’]|y |t)? ?(?:aider|répondre|fournir|traiter|accéder|donner|satisfaire|donner suite)"
            r"|dispose (?:malheureusement )?pas|suis (?:malheureusement )?pas (?:en mesure|capable|autorisée?"
            r"|habilitée?|certaine?|sûre?)|possède pas|peux me prononcer)"
            r"|\bje (?:n['’]ai (?:malheureusement )?(?:pas|aucune) (?:d['’]|assez d['’]|la |de |les |accès"
            r"|connaissance|suffisamment|cette|réponse|idée|information)|préfère ne pas|regrette,? mais"
            r"|dois (?:malheureusement )?(?:décliner|refuser))|\baucune idée\b|\ben tant qu['’](?:ia"
            r"|intelligence|assistant|modèle)"
        ),
    ),
    "es": (
        (" no ", " como ", " debo ", " prefiero ", " mi "),
        (
            r"\bno (?:lo )?sé\b|\bno (?:puedo|podré|podría|me es posible|soy capaz de"
            r"|estoy en condiciones de) (?:ayudar|responder|contestar|proporcionar|darte|darle|ofrecer|brindar"
            r"|atender|procesar|cumplir|facilitar)|\bno (?:dispongo|tengo|cuento con"
            r"|poseo) (?:de )?(?:suficiente |ninguna? |esa |esta |la |acceso a )*(?:información|datos|respuesta"
            r"|conocimientos?|idea|contexto|acceso)|\bcomo (?:modelo|inteligencia|asistente) (?:de|artificial)"
            r"|\b(?:debo|tengo que|prefiero) (?:declinar|no (?:responder|contestar)|abstenerme)"
            r"|\bqueda fuera de mi"
        ),
    ),
    "it": (
        (" non ",),
        (
            r"\bnon (?:lo )?so\b|\bnon (?:posso|sono in grado di|mi è possibile|riesco a) (?:aiutar"
            r"|risponder|fornir|darti|darle|soddisfare|elaborare|rispond|offrir|esser)|\bnon (?:ho|dispongo di"
            r"|possiedo) (?:abbastanza |sufficienti |queste? |la )?(?:informazion|risposta|dati\b|idea|conoscenz"
            r"|accesso)|\bpreferirei (?:di )?non\b"
        ),
    ),
    "pt": (
        (" não ",),
        (
            r"\bnão sei\b|\bnão (?:posso|consigo|poderei|sou capaz de|estou (?:apto"
            r"|em condições)) (?:a |de )?(?:te |lhe |o )?(?:ajudar|responder|fornecer|auxiliar|atender|dar"
            r"|informar|processar)|\bnão (?:tenho|disponho de|possuo) (?:essa |esta |a |nenhuma |acesso"
            r"|informações suficientes|suficiente)* ?(?:informaç|dados|resposta|conhecimento|acesso|ideia)"
        ),
    ),
    "nl": (
        (" niet", " geen"),
        (
            r"\bik weet (?:het |dat )?(?:helaas |echt )?niet\b|\b(?:kan|mag|wil) ik (?:je|u|jou|daar"
            r"|hier|dat|deze vraag|helaas| )* ?(?:helaas )?(?:niet|geen) (?:mee |bij |op )?(?:helpen"
            r"|beantwoorden|antwoord|zeggen|verder|ingaan)|\bik kan (?:je|u|jou|deze vraag|dit|hier|daar|helaas"
            r"| )* ?(?:helaas )?niet (?:mee |bij |op )?(?:helpen|beantwoorden|zeggen|antwoorden|geven"
            r"|van dienst)|\b(?:heb|beschik) (?:ik )?(?:daar |hier |helaas )*(?:over )?(?:geen|niet (?:over"
            r"|genoeg)) (?:\w+ )?(?:informatie|antwoord|gegevens|idee|kennis)|\bgeen idee\b"
        ),
    ),
    "pl": (
        (" nie ",),
        (
            r"\bnie (?:wiem\b|mogę (?:\w+ )?(?:pomóc|odpowiedzieć|udzielić|tego|spełnić)"
            r"|jestem w stanie|potrafię (?:pomóc|odpowiedzieć)|(?:mam|posiadam|dysponuję) (?:\w+ )?(?:informacj"
            r"|danych|wiedzy|odpowiedzi|pojęcia))"
        ),
    ),
    "tr": (
        ("bilm", "ama", "eme", "yok", "değil"),
        (
            r"\bbilmiyorum\b|\b(?:yardımcı ol|cevap ver|yanıt ver|yanıtlay|cevaplay|bilgi ver)(?:am"
            r"|em|amıyorum|emiyorum|amayacağım|emeyeceğim|amam|emem)\b|\bbilgim yok\b|\bbilgiye sahip değilim"
            r"|\bfikrim yok"
        ),
    ),
    "cs": (
        ("nev", "nem", "nejs"),
        (
            r"\bnevím\b|\bnemohu (?:\w+ )?(?:pomoci|odpovědět|poskytnout)|\bbohužel (?:nemám|neznám"
            r"|nejsem)|\bnejsem schopen"
        ),
    ),
    "sv": (
        (" inte", " ingen"),
        (
            r"\bjag vet (?:tyvärr )?inte\b|\bjag kan (?:tyvärr )?inte (?:hjälpa|svara|ge|besvara)"
            r"|\bjag har (?:tyvärr )?(?:ingen|inte) (?:information|tillräcklig|tillgång)"
        ),
    ),
    "id": (
        (" saya ", " aku "),
        (
            r"\b(?:saya|aku) (?:tidak|belum|nggak|gak) (?:tahu|tau\b|(?:dapat|bisa) (?:membantu"
            r"|menjawab|memberikan)|memiliki (?:informasi|data|akses)|punya (?:informasi|data))"
        ),
    ),
    "ro": (
        (" nu ",),
        (r"\bnu (?:știu|stiu|pot (?:să )?(?:te |vă )?(?:ajut|răspund|oferi))"),
    ),
    "vi": (
        (" không ",),
        (r"\btôi không (?:biết|thể|có (?:đủ )?thông tin|rõ)"),
    ),
    "ru": (
        ("не", "нет", "затрудняюсь", "вынужден"),
        (
            r"\bне (?:знаю\b|могу (?:\w+ ){0,2}(?:ответить|помочь|предоставить|сказать|выполнить"
            r"|дать|подсказать)|в состоянии|располагаю|владею|берусь)|\bне (?:смогу"
            r"|готов[а]?) (?:\w+ ){0,2}(?:ответить|помочь)|\bу меня нет (?:\w+ ){0,2}(?:информаци|данных|ответа"
            r"|сведений|доступа)|\bзатрудняюсь|\bпонятия не имею|\bвынужден[а]? (?:отказать|отклонить)"
        ),
    ),
    "uk": (
        (" не", "на жаль"),
        (
            r"\bне можу (?:\w+ ){0,2}(?:відповісти|допомогти|надати|сказати|виконати)"
            r"|\bна жаль,? (?:я )?не|\bу мене немає (?:\w+ ){0,2}(?:інформаці|даних|відповіді)"
        ),
    ),
    "zh": (
        ("不", "无法", "無法", "没", "沒", "难以", "超出"),
        (
            r"我不知道|我(?:并)?不(?:太)?(?:清楚|确定|了解)|(?<!们)(?:无法|不能|没办法|沒辦法|無法"
            r"|难以|恕不能)(?:直接|准确|為您|为您|为你|给您|给你|向您|對此|对此|就此)?(?:回答|回應|回应"
            r"|帮助您?完成|协助|解答|(?:帮助|提供)(?:您|你|相关|这|该|答案|帮助|信息|$)|完成(?:这|该|您的)"
            r"|给出(?:答案|回答))|没有(?:足够的|相关的?|这方面的|該|该)?(?:信息|資訊|资料|数据)(?:可以|来|供)?"
            r"|超出(?:了)?我的|我(?:暂时)?(?:没有|沒有)(?:相关|足够)"
        ),
    ),
    "ja": (
        ("ませ", "かね", "ない", "控え"),
        (
            r"わかりません|分かりません|わかりかねます|分かりかねます|存じません|存じ上げません"
            r"|(?:お答え|回答|お手伝い|お応え|返答|お力に)(?:する(?:こと|事)(?:は|が)|を(?:いた)?)?(?:は"
            r"|が)?(?:いた)?(?:でき(?:ません|かねます|ない)|しかね|致しかね|なれません|控え)"
            r"|お答えを?(?:差し)?控え|情報(?:は|が|を)(?:ありません|ございません|持って(?:いません|おりません)"
            r"|持ち合わせて)|知りません"
        ),
    ),
    "ko": (
        ("없", "모르", "모릅", "못", "어렵", "어려", "않", "곤란"),
        (
            r"모르겠|모릅니다|알지 못합니다|알 수 (?:없습니다|없어요|없네요)|(?:답변|대답|도움|답"
            r"|도와|응답)(?:을|를|이|해)? ?(?:드릴|드리기|할|하기|해 드릴|될|주기|되기|드리지|하지)?(?:는"
            r"|가)? ?(?:수 (?:없습니다|없어요|없네요)|수가 없|어렵습니다|어려워요|못합니다|못 해|않습니다|곤란)"
            r"|정보가 (?:없습니다|부족|없어)|정보를 (?:가지고 있지|갖고 있지)"
        ),
    ),
    "ar": (
        ("لا ", "لست", "لن ", "ليس", "أعتذر"),
        (
            r"لا أعرف|لا أعلم|لا أدري|(?:لا (?:أستطيع|يمكنني|أملك|أمتلك)|لست قادر(?:ا|اً|ًا)?"
            r"|لن أتمكن|لا أتمكن|ليس (?:لدي|بإمكاني|بوسعي|عندي)|ليست لدي|لا تتوفر لدي|لا يسعني|أعتذر عن)"
        ),
    ),
    "hi": (
        ("नहीं", "असमर्थ", "खेद"),
        (
            r"(?:मुझे|मैं) ?(?:इस(?:के)? (?:बारे में )?)?(?:यह )?(?:नहीं (?:पता|मालूम|जानता|जानती)"
            r"|पता नहीं|मालूम नहीं|खेद है)|(?:उत्तर|जवाब|सहायता|मदद|जानकारी|मदद करने) (?:देने में |करने में |दे "
            r"|कर |प्रदान )?(?:असमर्थ|नहीं (?:दे|कर|है|सकता|सकती)|सक्षम नहीं)|जानकारी (?:उपलब्ध )?नहीं है"
        ),
    ),
}
"""Some text that each of the phrases has in it, which is quick to look for, and the phrases. All in lower case."""

_COMPILED: Final = [(marks, re.compile(phrases)) for marks, phrases in _PHRASES.values()]


def find_refusal(text: str) -> tuple[int, int] | None:
    """Find the first place where a text, in lower case, says of its writer that there will be no answer.

    Returns:
        Where it starts and ends.
    """
    padded = f" {text}"
    found = (phrases.search(text) for marks, phrases in _COMPILED if any(mark in padded for mark in marks))
    return min((place.span() for place in found if place is not None), default=None)
