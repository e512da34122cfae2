"""The words of sentences that speak to a router: patterns over lower-case text without accents, in a dozen languages.

A sentence is an order where something is to be done (`DIRECTIVE`) with a tier or a model (`TIER`, `MODEL`), or where it
is one of the phrases that have no other use (`PHRASES`). Every quantifier is bounded, so that a search takes linear
time.
"""

import re
from dataclasses import dataclass
from typing import Final

_ANY = r"[^\n]{0,40}?"
_WORDS = r"(?:[\w'’-]{1,24}[^\w.!?\n]{1,3}){0,4}?"


def _words(*alternatives: str) -> str:
    """Join alternatives that start and end at the edge of a word."""
    return rf"(?<!\w)(?:{'|'.join(alternatives)})(?!\w)"


DIRECTIVE: Final = re.compile(
    _words(
        "(?:re)?rout(?:e|es|ed|ing)|send|forward|escalat(?:e|ed|ing)|direct|redirect|transfer|assign(?:ed)?|move"
        "|upgrade"
        "|switch|use|using|take|pick|choose|select|run|go|goes|going|hand|pass|deliver|put|set|force|give|need|needs"
        "|want|wants|requires?|deserves?|demand|must|answer(?:ed)? (?:with|by|using|on|this|me|my)|process|processed"
        "|handle|handled|serve|served"
        "|classif(?:y|ied)|mark|treat|promote|bump|raise|reserve|allocate|execute|respond|default|skip|avoid|shall"
        "|prefer|invoke|call|granted|entitled|connect|dispatch|ensure",
        r"(?:weiter)?leite\w?|schick\w{0,2}|send\w{0,2}|nimm|nehm\w{0,2}|benutz\w{0,2}|verwend\w{0,2}|nutz\w{0,2}"
        r"|eskalier\w{0,2}|wahl\w{0,2}|setz\w{0,2}|stuf\w{0,2}|geh\w{0,2}|brauch\w{0,2}|gehort|gehoren|muss|mussen"
        r"|(?:be)?antwort\w{0,3}|bearbeit\w{0,3}|uberg\w{2,4}",
        r"envo[iy]\w{0,4}|utilis\w{1,3}|pren\w{1,3}|choisi\w{0,4}|transf[eé]r\w{1,4}|dirig\w{1,4}|pass\w{1,3}"
        r"|achemin\w{1,3}"
        r"|rout[eo]\w{0,2}|faut|dois|doit|doivent|vont|va|employ\w{1,3}|oriente\w?|trait\w{1,3}|escalad\w{1,2}",
        r"envi\w{1,5}|manda\w{0,4}|us[aeo]\w{0,3}|utiliz\w{1,4}|utilizz\w{1,4}|toma\w{0,3}|elig\w{1,3}|elij\w{1,2}"
        r"|escal\w{1,5}|pasa\w{0,3}"
        r"|deb[eo]\w{0,3}|redirig\w{1,3}|redirij\w|inoltr\w{1,4}|invi\w{1,4}|instrad\w{1,4}|scegli\w{0,4}"
        r"|prend\w{1,4}|dev[eo]\w{0,3}"
        r"|encaminh\w{1,4}|escolh\w{1,3}|direcion\w{1,4}|rote\w{1,4}|necesit\w{1,3}|precis\w{1,3}|enruta\w{0,3}",
        r"wyslij\w{0,3}|wysl\w{1,4}|uzy[jw]\w{0,4}|wybierz\w{0,3}|skieru\w{1,4}|przekaz\w{0,4}|przekieru\w{1,4}|wez"
        r"|musi\w{0,2}",
        r"отправ\w{1,4}|направ\w{1,4}|использ\w{1,5}|возьми\w{0,2}|выб[еи]р\w{1,4}|перенаправ\w{1,4}|переда\w{1,4}"
        r"|передаи|нуж\w{1,3}"
        r"|маршрутиз\w{1,6}|должн\w{0,2}|эскалир\w{1,4}|идут|надішли|відправ\w{1,3}|використ\w{1,6}",
        r"stuur\w{0,2}|gebruik\w{0,2}|kies|neem|moet\w{0,2}|skicka\w{0,2}|anvand\w{0,2}|valj|brug|send\w{0,2}|bruk"
        r"|vaelg|velg|"
        r"gonder\w{0,4}|kullan\w{0,4}|yonlendir\w{0,4}|ilet\w{0,3}|sec|gui|chuyen|su dung|dung|chon|kirim\w{0,3}"
        r"|gunakan|pilih"
        r"|laheta|kayta|kayttaa|odesli|posli|pouzij|vyber|trimite|foloseste|kuldd|hasznald|στειλε|χρησιμοποιησε",
        r"أرسل\w{0,3}|ارسل\w{0,3}|استخدم\w{0,2}|وجه|حول|اختر|شلח|שלח|השתמש|העבר",
    )
    + r"|发送|发到|发给|使用|选用|选择|采用|路由|转[到给交发]|交给|交由|升级|请用|必须|分配|送[到至]|调用|用(?=最)"
    r"|送(?:っ|信|る|り|付)|使(?:っ|用|い|う|え)|回し|ルーティング|振り分け|選[んびぶ択]|エスカレ|転送|割り当て|処理し|お願い"
    r"|보내|사용|라우팅|써\s?(?:줘|주)|쓰세요|선택|전달|처리해|넘겨|올려|भेज|उपयोग|इस्तेमाल|चुन|ส่ง|ใช้|เลือก"
)

TOPIC: Final = re.compile(
    _words(
        r"requests?|quer(?:y|ies)|prompts?|classification|decision|routing|anfragen?|demandes?|requetes?"
        r"|solicitud(?:es)?|richiest[ae]"
        r"|pedidos?|zapytani\w{1,3}|запрос\w{0,3}|verzoek|forespors\w{1,5}"
    )
    + "|请求|リクエスト|요청"
)
"""With a tier beside it, such a word makes an order of a statement."""

_COUNT = (
    r"(?:\d{1,2}|one|two|three|four|iii?|iv|top|max\w{0,6}|highest|ein\w{0,2}|zwei|drei|deux|trois|dos|tres|tre"
    r"|due|dois|dwa|trzy|три|два)"
)
_LEVEL = (
    r"(?:tiers?|tir|t[iī]er|stufen?|ebenen?|niveaux?|nivel(?:es)?|niveis|livell[oi]|poziom\w{0,3}|уров\w{2,4}"
    r"|ступен\w{1,3}"
    r"|тир\w{0,2}|paliers?|categori[ae]|camada|capa|couche|seviye\w{0,4}|katman\w{0,4}|cap|tang|bac|tingkat|nivaa?"
    r"|trin|taso\w{0,4}|uroven"
    r"|rang|szint\w{0,3}|nivelul|рівен\w{0,3}|рівн\w{1,2}|laag|schicht|المستوى|مستوى|स्तर|ระดับ|επιπεδο)"
)
_SUPERLATIVE = (
    r"(?:top(?:[ -]?most)?|highest|best|upper(?:most)?|frontier|most (?:expensive|powerful|capable|advanced)|maximum"
    r"|max|third"
    r"|strongest|flagship|oberst\w{1,2}|hochst\w{1,2}|best\w{1,2}|dritt\w{1,2}|teuerst\w{1,2}|najwyzsz\w{1,3}"
    r"|высш\w{2,3}|третии|last|final)"
)
_AFTER_LEVEL = (
    r"(?:plus (?:haut|eleve|cher|puissant)|superieure?|maximum|maximal\w{0,2}|mas alto|superior|maximo|maxima"
    r"|piu alto|massimo|superiore"
    r"|mais alto|najwyzsz\w{1,3})"
)
_NOT_A_SERVICE_DESK = (
    r"(?!\W{0,2}(?:support|suppl|agent|team|engineer|specialist|help|cit(?:y|ies)|data|bank|capital|vendor|customer"
    r"|client|member"
    r"|plan\b|pricing|price|warehouse|isp|countr|network|issue|incident|ticket|technician|analyst|investor|universit"
    r"|school|visa))"
)

TIER: Final = re.compile(
    rf"(?<!\w){_LEVEL}[ _-]?(?:n[or°º]?\.? ?|#|numer\w? |number )?{_COUNT}(?!\w){_NOT_A_SERVICE_DESK}"
    rf"|(?<!\w){_SUPERLATIVE}[ -]{_LEVEL}(?!\w){_NOT_A_SERVICE_DESK}"
    rf"|(?<!\w){_LEVEL} (?:le |la |el |il |o |a )?{_AFTER_LEVEL}(?!\w)"
    rf"|(?<!\w)(?:(?:one|two|a|the next|next) tiers?(?: (?:up|higher))?|t3|higher tier|drittes? stufe|3\. stufe"
    rf"|(?:3rd|third) tier)(?!\w)"
    rf"|(?<!\w)(?:3e|3eme|troisieme|terc\w{{2,3}}|terzo|trzeci\w{{0,3}}|ucuncu|tredje|derde) {_LEVEL}"
    rf"|(?<!\d)[23] ?-?(?:og|e|i|to|го|м|й|ю)? ?(?:уров\w{{2,4}}|poziom\w{{0,3}}|seviye\w{{0,4}}"
    rf"|szint\w{{0,3}})(?!\w)"
    r"|第?\s?[\d一二三]\s?(?:层|層|级|級|档|階層|段階|等级|ティア|レベル|等級)|(?:最高|顶级?|頂級?|最上)位?の?(?:层级|层|層級|级别|等级|級別|ティア|レベル|段階)"
    r"|(?:层级|级别|等级|層級|级|层|レベル|ティア|ティアー|階層|티어|등급|레벨|단계|계층)\s?[\d一二三]|[\d]\s?(?:단계|티어|등급|계층|レベル)"
    r"|(?:최고|최상위?|가장 높은)\s?(?:티어|등급|단계|레벨|계층)"
)

_STRONG = (
    r"(?:most (?:expensive|powerful|capable|advanced|intelligent|sophisticated)|best|big(?:gest)?|large(?:st)?"
    r"|strong(?:est)?|smart(?:est)?"
    r"|top|frontier|premium|flagship|expensive|powerful|high[ -]end|costliest|priciest|better|bigger|larger|stronger"
    r"|heavy|highest"
    r"|small(?:est|er)?|cheap(?:est|er)?|weak(?:est|er)?|tiny|lite|gro(?:s|ss)t\w{1,2}|grosses?|stark\w{1,4}"
    r"|teuer\w{0,4}|teure\w{0,3}|best\w{1,2}"
    r"|leistungs\w{4,10}|hochwertig\w{0,4}|meilleure?s?|plus (?:cher|grand|gros|puissant|performant|avance|capable"
    r"|intelligent)e?|mejor(?:es)?"
    r"|melhor|migliore?|mas (?:caro|grande|potente|avanzado|capaz)|najlepsz\w{1,3}|najdrozsz\w{1,3}|najwieksz\w{1,3}"
    r"|najmocniejsz\w{1,3}"
    r"|лучш\w{2,3}|дорог\w{2,4}|мощн\w{2,4}|больш\w{2,4}|сильн\w{2,4}|топ\w{0,4}|самую|grootste|duurste|beste"
    r"|krachtigste|storsta|dyraste|basta|storste|dyreste"
    r"|en (?:pahali|guclu|iyi|buyuk|gelismis)|kalleinta|parasta|nejlepsi|nejdrazsi|najkrajsi|paling (?:mahal|canggih"
    r"|kuat)|terbaik|termahal)"
)
_MODEL = (
    r"(?:models?|modell\w{0,2}|modele?s?|modelo|modello|modelu|модел\w{1,3}|llms?|mallia?|modeli|modelini|ai|ki"
    r"|ia|gpt)"
)

MODEL: Final = re.compile(
    rf"(?<!\w){_STRONG}\W{{1,2}}(?:[\w-]{{1,16}} ){{0,2}}?{_MODEL}(?!\w)(?! (?:of|car|year|number|bike|tent|jacket))"
    r"|(?<!\w)(?:modell?e?o?|model\w?|ia|llm) (?:de (?:pointe|punta|ponta)|di punta"
    r"|(?:le |la |el |il |o |a )?(?:plus|mas|mais|piu|nai)\s?(?:\w{3,14})|(?:paling )?(?:mahal|canggih|terbaik"
    r"|termahal)|grande|grand|potente|puissant"
    r"|top|premium|frontier)(?!\w)"
    r"|(?<!\w)(?:gpt|claude|opus|gemini|llama|sonnet)[ -]?(?:\d[\w.]{0,5}|opus|pro|ultra|large)?(?!\w)"
    r"|(?<!\w)frontier(?:[ -](?:work|level|class|grade|llm|tier|ai))?(?!\w)"
    r"|(?:最强|最好|最贵|最大|最先进|最高级|顶级|高级|旗舰|最聪明|最強|最貴|最高|最上位|最も\w{1,6}|一番\w{1,6}|大きい|高性能な?)の?\w{0,4}(?:模型|モデル)"
    r"|(?:가장\s?\w{1,6}|최고|최상|최상위|큰|비싼)\s?\w{0,4}\s?(?:모델)|(?:النموذج|نموذج) \w{2,10}|(?:सबसे \S{2,8}|बड़े"
    r"|महंगे) मॉडल|(?:โมเดล)\S{0,4}(?:ที่)?(?:ดี|แพง|ใหญ่)\S{0,4}"
    r"|(?:mo hinh) (?:\w{2,6} ){0,2}nhat|(?:המודל) \w{2,10}"
)

_UNDO = (
    r"(?:ignore|disregard|forget|overrid\w{1,3}|overrule|bypass|skip|discard|neglect|(?:do not|don't"
    r"|never) (?:follow|obey)"
    r"|drop|cancel|suspend|disable)"
)
_EARLIER = (
    r"(?:previous|prior|above|earlier|preceding|foregoing|all|your|every|any|system|routing|former|other|existing"
    r"|current|usual"
    r"|normal|initial|original|these|the rest of)"
)
_RULES = (
    r"(?:instructions?|rules?|prompts?|polic(?:y|ies)|directions?|guidelines?|restrictions?|commands?|limits?"
    r"|constraints?"
    r"|orders|routing|classifiers?|router|safeguards?|directives?|tiers?|configuration|settings)"
)
_UNDO_ENGLISH = re.compile(
    rf"(?<!\w){_UNDO} {_WORDS}{_EARLIER} {_WORDS}{_RULES}(?!\w)"
    r"|(?<!\w)(?:forget|disregard|ignore) (?:everything|all|anything|what)(?: \w{1,12}){0,3} (?:above|before|said"
    r"|earlier|told|until now)(?!\w)"
    rf"|(?<!\w){_UNDO} (?:the )?(?:classifier|routing|router|polic(?:y|ies)|rules|instructions)(?: above)?(?:\W|\Z)"
)
_UNDO_LATIN = re.compile(
    rf"(?<!\w)(?:ignorier|vergiss|missacht|umgeh|uberschreib|vergess)\w{{0,4}} {_ANY}(?:anweisung|regel|vorgabe"
    rf"|instruktion|richtlinie|befehl|vorherig)"
    rf"|(?<!\w)(?:ignore|ignorez|oubli\w{{1,4}}|neglige[zr]?|contourn\w{{1,4}}) {_ANY}(?:instruction|regle|consigne"
    rf"|directive|precedent)"
    rf"|(?<!\w)ne (?:tiens|tenez) (?:pas|aucun) {_ANY}(?:instruction|regle|consigne)|(?<!\w)haz caso omiso"
    rf"|(?<!\w)(?:ignor|olvid|omit|descart|salt|dimentic|trascur|scord|esque"
    rf"|desconsider)\w{{0,5}} {_ANY}(?:instruccion|regla|norma|politica"
    rf"|indicacion|anterior|istruzion|regol|direttiv|precedent|instruc|regra|diretriz)"
    rf"|(?<!\w)(?:zignoruj|ignoruj|zapomnij|zapomen|pomin|olej)\w{{0,3}} {_ANY}(?:instrukcj|zasad|regul|polecen"
    rf"|wytyczn|poprzedn|pokyn|pravid)"
    rf"|(?<!\w)(?:negeer|vergeet|ignorera|glom|ignorer|glem|strunta)\w{{0,2}} {_ANY}(?:instructie|regel|instruktion"
    rf"|regler|instruks|vorige|tidigare)"
    rf"|(?<!\w)(?:talimat|kural|yonerge){_ANY}(?:yok say|unut|gormezden|dikkate alma)"
    rf"|(?<!\w)bo qua {_ANY}(?:huong dan|quy tac|chi dan)"
    rf"|(?<!\w)abaikan {_ANY}(?:instruksi|aturan|perintah)|(?<!\w)(?:unohda|ohita) {_ANY}(?:ohje|saann)"
    rf"|(?<!\w)(?:ignora|uita) {_ANY}(?:instructiun|regul)"
)
_UNDO_OTHER = re.compile(
    rf"(?:про)?(?:игнорир|забуд|ігнор|не обращаи)\w{{0,6}} {_ANY}(?:инструкц|правил|указан|команд|предыдущ|інструкц)"
    rf"|αγνοησε{_ANY}(?:οδηγι|κανον)"
    r"|(?:忽略|无视|無視|忘记|忘掉|不要理会|跳过|忽視)[^\n。]{0,14}(?:规则|指令|指示|说明|提示|規則|要求|策略)"
    r"|(?:指示|ルール|規則|命令|プロンプト|設定)[^\n。]{0,10}(?:無視|忘れ)|(?:지시|규칙|명령|지침|프롬프트)[^\n]{0,12}(?:무시|잊)"
    r"|(?:تجاهل|انس)[^\n]{0,30}(?:التعليمات|القواعد|الأوامر|تعليمات|قواعد)|(?:निर्देश|नियम)[^\n]{0,20}(?:अनदेखा"
    r"|नज़रअंदाज|भूल)"
    r"|(?:התעלם|שכח)[^\n]{0,30}(?:הוראות|כללים)|(?:เพิกเฉย|ละเว้น|ไม่ต้องสนใจ)[^\n]{0,20}(?:คำสั่ง|กฎ)"
)
_DECIDER = re.compile(
    r"(?<!\w)(?:note|message|attention|instructions?|hint|memo|dear|hey|hello|hi|notice|remark|order"
    r"|command)(?: (?:to|for))?(?: the| our| your)?"
    r" (?:routers?|classifiers?|dispatcher|routing|gateway|orchestrator|scheduler)(?!\w)"
    r"|(?<!\w)(?:classifier|routing (?:system|engine|layer|decision|agent)|router)(?:'s)? (?:output|says?|said"
    r"|decid\w{1,3}|decision|verdict|result"
    r"|chose|must|has (?:already )?(?:decided|chosen))(?!\w)"
    r"|(?<!\w)(?:klassifikator|classificat(?:eur|ore)|clasificador|classificador|klasyfikator"
    r"|классификатор)\w{0,2}\W{1,2}(?:\w{1,8} ){0,2}(?:sagt|dit|dice|diz|mowi|говорит)"
    r"|(?<!\w)routing (?:polic(?:y|ies)|rules?|instructions?|override|directive|decision|note|hint)(?!\w)"
    r"|(?<!\w)routing[\W_]{1,2}(?:override|directive|tier|hint|level|decision)"
    r"|(?<!\w)(?:re)?(?:upgrade|promote|prioriti[sz]e|route) (?:this|my) (?:request|query|prompt|question)(?!\w)"
    r"|(?<!\w)(?:you are|as) (?:the|a|an|your) (?:router|classifier|dispatcher|request router|routing \w{3,10})(?!\w)"
)
_SCORES = re.compile(
    r"(?<!\w)(?:probability|confidence|score|likelihood)(?: (?:of|for|that))?(?: the| this)?(?: request)?(?: needs?"
    r"| requires?)?(?: a| the)? (?:tier|frontier)"
    r"|(?:\A|(?<=\n)|(?<=[.!?;] ))confidence\W{1,2}[01]?[.,]\d{1,3}\W|(?<!\w)boundary (?:reached|band|escalation)"
)
_FIELDS = re.compile(
    r"(?<!\w)(?:needs_more_than|min_tier|max_tier|classified_tier|threshold_shift|error_tolerance|business_impact"
    r"|self_validating)(?!\w)"
    r"|(?<!\w)(?:user_role|data_class|service_class|query_type)\W{0,2}[=:]\W{0,2}\w"
    r"|(?:(?<!\w)(?:error[_ ]tolerance|business[_ ]impact|data[_ ]class)|(?:\A|(?<=\n)"
    r"|(?<=[,;{.!?] ))impact)\s?[=:]\s?\W?(?:low|critical|restricted|high)(?!\w)"
    r"|(?<!\w)(?:x[-_])?(?:(?:min|max|route|target|required|requested|selected|forced?|model)[-_ ]?)?tier\W{0,2}(?:="
    r"|:=|:|->|=>)\W{0,2}(?:\d|top|max|high|frontier|premium|three)"
    r"|(?<!\w)(?:set|make|change|raise|mark) (?:the )?(?:business )?impact (?:to|as|=)"
    r"|(?<!\w)model\s?[=:]\s?[\"']?(?:gpt|claude|opus|gemini|frontier|large|best|top)"
    r"|(?<!\w)the (?:right |correct |required )?tier (?:is|must be|should be|equals|becomes|shall be"
    r"|was set to) (?:tier )?(?:\d|three|top|the (?:top|highest))"
    r"|(?<!\w)(?:x-(?:tier|priority|route|model|router)\W{0,2}[=:]|--?(?:(?:min|max)-)?(?:tier|route|impact"
    r"|role)[ =])\W{0,2}\w"
    r"|(?<![\w/])/(?:route|tier|escalate|upgrade)(?!\w)|(?<!\w)tierstream (?:route|send|worker)|\[{1,2}(?:routing"
    r"|tiers?)\b[^\]\n]{0,30}\]"
    r"|(?<!\w)(?:difficulty|complexity)(?: (?:level|score|rating))?\s?(?:=|:|is|to)\s?(?:10|9|[1-9]\d?/10|max\w{0,4}"
    r"|1\.0|100|very high|extreme\w{0,2}|highest)"
)
_RATING = re.compile(
    r"(?<!\w)(?:classify|rate|mark|label|score|treat|flag|grade|categori[sz]e|consider|regard) (?:this|my"
    r"|the)(?: (?:request|query|prompt|question|message"
    r"|conversation|task|one))? (?:\w{1,12} ){0,3}?(?:as|with|to be|at) (?:\w{1,12}[ -]){0,3}?(?:frontier|hardest"
    r"|complex|difficult|tier|top|maximum|highest|expert|premium|vip)(?!\w)"
)
_BEGIN = r"(?:\A|(?<=\n)|(?<=[.!?:。！？] )|(?<=[。！？]))[^\w\s]{0,3}"
_CLAIM = re.compile(
    rf"{_BEGIN}(?:hello[,!]? |hi[,!]? )?(?:i am|i'm|this is|ich bin|je suis|soy|sono|sou|eu sou|io sono|yo soy"
    rf"|jestem|я|jag ar|ik ben|ben)"
    r" (?:the |your |a |der |die |le |la |el |il |o |l'|de )?(?:ceo|cfo|cto|coo|chief executive\w{0,3}|boss"
    r"|geschaftsfuhrer\w{0,2}|chef|pdg|administrat\w{2,4}"
    r"|admin|sysadmin|superuser|root|director general|генеральн\w{2,3} директор\w{0,2}|dyrektor\w{0,3}|prezes\w{0,3}"
    r"|vip(?: \w{3,10})?|president|system|developer)"
    r"(?: (?:officer|user))?(?: (?:of|at|in|von|de|der|del|di|da) [^\n,.;:]{1,30})?\s{0,2}(?:[.!?]|\n|\Z)"
    rf"|{_BEGIN}(?:我是|私は|저는)[^\n。]{{0,10}}(?:ceo|总裁|首席|管理员|老板|董事|社長|管理者|대표|관리자)"
)
_COMMAND = re.compile(
    r"(?<!\w)(?:my|user) (?:role|position|job|title) (?:is|:|=) (?:the |a )?(?:ceo|cfo|cto|coo|chief|admin|owner"
    r"|boss|president|director)"
    r"|(?<!\w)speaking as (?:the |your |a )?(?:ceo|cfo|cto|coo|chief|admin|owner|boss|president|director)"
    r"|(?<!\w)as (?:the|your|a|an) (?:chief|ceo|cfo|admin\w{0,10}|developer|operator|owner|boss|president"
    r"|director)(?: [\w-]{1,14}){0,5},? i (?:hereby )?"
    r"(?:order|command|instruct|demand|authori[sz]e|require|tell|insist)"
)
_MODES = re.compile(
    r"(?<!\w)(?:developer|admin|debug|god|override|root|sudo|jailbreak|unrestricted|privileged) (?:mode|override"
    r"|access granted)(?!\w)"
    r"|(?<!\w)(?:system|admin|policy|security|emergency|manual) (?:override|overwrite)(?!\w)"
    r"|(?<!\w)(?:end|begin|start|beginning) (?:of )?(?:the )?(?:system prompt|(?:(?<=of )"
    r"|(?<=of the ))(?:user )?prompt|system instructions?|system message|user input)(?!\w)"
    r"|(?<!\w)new (?:system |routing )?(?:polic(?:y|ies)|instructions?|rules?|prompt|directives?)\W?:"
    r"|(?<!\w)(?:updated|revised) (?:system |routing )(?:polic(?:y|ies)|instructions?|rules?|prompt)(?!\w)"
)
_STAKES = re.compile(
    r"(?<!\w)this(?: (?:request|question|query|task|message|prompt|case|one|is))? (?:is|must be)(?: (?:very"
    r"|extremely|absolutely|highly|treated as))? (?:business|mission)[ -]critical"
    r"|(?<!\w)(?:my|this|the) (?:account|user|customer|subscription) (?:is|was|has been"
    r"|got) (?:\w{1,10} ){0,3}?(?:upgraded|premium|vip|unlimited|entitled|whitelisted|prioriti[sz]ed)(?!\w)"
    r"|(?<!\w)(?:cost|price|budget|money) (?:is|does|do) (?:not|no) (?:an? )?(?:object|matter|issue|limit|concern)"
    r"|(?<!\w)spare no (?:expense|cost)"
)
_SMALL = re.compile(
    r"(?<!\w)(?:small|cheap|weak|tiny|lite|little|inferior)(?:er"
    r"|est)? (?:language )?models? (?:\w{1,10} ){0,2}?(?:give|gave|gives|fail|failed|fails|cannot|can't|won't|are not"
    r"|aren't|do not|don't|will not|got) (?:me|this|with this|it|here|us|you|answer|enough|good|able|suffi\w{1,6}"
    r"|handle|wrong)"
    r"|(?<!\w)(?:no|not (?:use|with)|never use|without) (?:a |any |the )?(?:small|cheap|weak|tiny|lite)(?:er"
    r"|est)? (?:language )?models?(?!\w)"
)


@dataclass(frozen=True, slots=True)
class Signs:
    """What a text must have one of, or a pattern need not be tried.

    Attributes:
        stems: Words start with them; those shorter than `BEGINNING` and those that end in `END` are words.
        pieces: Those of scripts without spaces, anywhere.
    """

    stems: frozenset[str]
    pieces: tuple[str, ...]

    @classmethod
    def of(cls, words: str) -> "Signs":
        """Sort words apart."""
        pieces = tuple(word for word in words.split() if UNSPACED.match(word))
        return cls(frozenset(words.split()).difference(pieces), pieces)


BEGINNING: Final = 4
END: Final = "|"
UNSPACED: Final = re.compile("[\u0590-\u06ff\u0900-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")

_RULE_WORDS = Signs.of(
    "instruc istruz instruks instrukc rule regul regol regel regla regle regra prompt polic polit direction"
    " directive direkt diretri guideline restriction command"
    " limit constraint orders everything routing classifier router safeguard tier config setting anweisung vorgabe"
    " richtlinie befehl"
    " vorher consigne precedent norma indicacion anterior zasad polecen wytyczn poprzedn pokyn pravid vorige"
    " tidigare yok"
    " unut gormezden dikkate huong quy chi aturan perintah ohje saann caso above before said earlier told until"
)


def _group(words: str, others: str | Signs, pattern: re.Pattern[str]) -> tuple[Signs, Signs, re.Pattern[str]]:
    return Signs.of(words), others if isinstance(others, Signs) else Signs.of(others), pattern


PHRASES: Final = (
    _group(
        "ignore disregard forget overrid overrule bypass skip discard neglect obey follow| drop| cancel suspend"
        " disable",
        _RULE_WORDS,
        _UNDO_ENGLISH,
    ),
    _group(
        "ignor vergiss missacht umgeh uberschreib vergess oubli neglige contourn ne haz olvid omit descart salta"
        " dimentic trascur scord esque"
        " desconsid zignoruj zapom pomin olej negeer vergeet glom glem strunta zignor talimat kural yonerge"
        " bo"
        " abaikan unohda ohita uita",
        _RULE_WORDS,
        _UNDO_LATIN,
    ),
    _group(
        "игнор проигнор забуд ігнор обращаи αγνοησε 忽略 无视 無視 忘 不要理会 跳过 忽視 무시 잊"
        " تجاهل انس अनदेखा नज़रअंदाज भूल התעלם"
        " שכח เพิกเฉย ละเว้น ไม่ต้องสนใจ",
        "",
        _UNDO_OTHER,
    ),
    _group(
        "router upgrade| promote| reroute prioriti classifier dispatcher gateway orchestrator scheduler routing"
        " klassifik classificat clasificador klasyfikator классификатор",
        "",
        _DECIDER,
    ),
    _group("tier boundary confidence frontier", "probability confidence score likelihood boundary", _SCORES),
    _group(
        "tier tolerance impact validating route routing escalate upgrade difficulty complexity tierstream priority",
        "",
        _FIELDS,
    ),
    _group("model|", "gpt claude opus gemini frontier large| best| top|", _FIELDS),
    _group("role class type more shift", "user data service query needs threshold", _FIELDS),
    _group(
        "frontier hardest complex difficult tier top maximum highest expert premium vip",
        "classify rate mark label score treat flag grade categori consider regard",
        _RATING,
    ),
    _group(
        "ceo cfo cto coo chief boss geschaft chef pdg admin superuser root director директор генеральн dyrektor"
        " prezes vip president system developer sysadmin"
        " 总裁 首席 管理 老板 董事 社長 대표 관리자",
        "am m this bin suis soy sono| sou jestem я jag ik ben 我 私 저",
        _CLAIM,
    ),
    _group(
        "ceo cfo chief boss admin director president developer operator owner",
        "order command instruct| demand authori require| tell| insist role| position| title| speaking|",
        _COMMAND,
    ),
    _group(
        "mode overrid overwrit access end begin start new| updated revised",
        "developer admin debug god root sudo jailbreak unrestricted privileged overrid overwrit prompt instruct"
        " polic rules rule directive input message",
        _MODES,
    ),
    _group("critical", "business mission", _STAKES),
    _group(
        "account user customer subscription cost price budget money spare|",
        "upgraded premium vip unlimited entitled whitelisted prioriti object| matter issue limit| concern| spare|",
        _STAKES,
    ),
    _group("models", "small cheap weak tiny lite little inferior", _SMALL),
)
"""Phrases that are orders by themselves, each with what a text must have for them to be tried: one of the first signs
and, where there are any, one of the second."""

TIER_SIGNS: Final = Signs.of(
    "tier stufe stufa ebene niveau nivel niveis livell poziom уров ступен тир тира тиру тире тиром palier camada"
    " couche seviye katman cap tang bac tingkat niva trin taso uroven"
    " szint рівен рівн laag schicht επιπεδο t3"
    " مستوى स्तर ระดับ 层 層 级 級 档 ティア レベル 段階 階 等 티어 등급 단계 레벨 계층"
)
MODEL_SIGNS: Final = Signs.of(
    "model malli hinh llm llms gpt gpt4 gpt5 claude opus gemini llama sonnet frontier ai ki ia модел"
    " 模型 モデル 모델 نموذج"
    " मॉडल โมเดล המודל"
)
SPEAKER_SIGNS: Final = Signs.of(
    "system| assistant| developer| human| user| ai admin| administrator| router| classifier| instruction moderator|"
    " operator| tool| role|"
)
BLOCK_SIGNS: Final = ("<|", "<<", "[inst", "<start_of", "</", "/>", "<!--", "{", "[/")
