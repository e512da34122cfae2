"""Words that nearly every text of a language has, by which languages of the Latin alphabet are told apart."""

from typing import Final

_WORDS: Final = {
    "en": "the and a in to i of it on for is at with that we one from my you by what not no if was be can as"
    " which two so but do are this or have our he me has only all about who how an there up each she they"
    " them then would when your will please their its than been were should could use these into more"
    " some also because where most over after keep any very such make does may first other add don't it's"
    " explain describe write list give tell name compare suggest summarise summarize every enough until"
    " while before through many much own same both between off down out here now why whose did had being",
    "de": "die und der ich nicht das ist mit in im den für auf sie wir am bei was von hat nur eine ein an bis"
    " bitte nach aber er es dem zu sind wie als noch dass ab aus wenn ohne haben zwei um auch einen mir"
    " war dann oder jetzt seit zum kann wird alle über vom sich des ja einer uns keine muss mein geht"
    " unter also soll einem werden sein ihre ihnen durch wurde man zur diese dieser dieses sowie kein"
    " mehr können gegen gibt doch schon warum wieso welche welcher welches wo wer wann dein deine kannst"
    " könnte hast hilft sollte ihr ihren unser diesen damit beim",
    "fr": "de le la et à un est en les pour je on que il une pas du qui des par ce sur avec dans ne mais elle"
    " plus sans ai si vous nous ça mon tout fait même dit ou sont avant se ma notre rien ont été tu sous"
    " votre peut bien donc au aux cette ces son ses leur être comme dont très l'on c'est d'un d'une quel"
    " quelle quels quelles comment pourquoi combien quand où faut moi toi lui nos vos leurs aussi puis"
    " entre chez elles ils",
    "es": "de la el y que en no con por se un los lo del las una qué es me para al sin si mi o pero le su más"
    " desde yo solo sí como antes está porque tengo tiene hasta ha nos son nada todo hay cada ya este"
    " esta muy puede cuando también entre sobre ser fue sus donde hacia cómo cuál cuáles cuánto cuánta"
    " cuándo dónde quién quiénes puedo debo hago haces recomiéndame cuales nuestro mucho muchos otros",
    "it": "e il di la in che è per non un con l da una i ha le due se del al si ma sono mi della lo ci ho solo"
    " perché o senza alle dal come più dopo anni cosa alla gli chi nel prima poi su devo anche mio era"
    " dell dei delle nella dello questo questa può quando essere degli viene molto quale quali quanto"
    " quanta dove faccio ogni loro suo sua negli agli dalle",
    "pt": "de e a o que do em com não por da é no na um sem se só os uma mas para as até tem mais já ou foi ao"
    " me das minha pode dos às meu há está depois isso cada quem ele ela à quando também muito como são"
    " pelo pela seu sua ser entre nos você qual quais quanto onde faço posso devo fazer seus suas meus"
    " nossa deve explique",
    "nl": "de en een van het is ik in dat op met niet voor die maar er bij wat per als we mijn of aan zijn naar"
    " nog heeft over dan ze hij te moet je mag wil kan uit ook wij al heb om was wel nu zo zonder mee"
    " deze dit wordt worden door tot meer geen zich hun kunnen welke waarom hoeveel waar wie kunt kun"
    " jouw hoe haar",
    "pl": "w i na z do nie to się o po od że jak za czy co jest ma bo ale bez tylko tak przy może być albo tego"
    " przez jeszcze już są który która które oraz dla jego ich można tym więc także jako gdy lub ile"
    " gdzie dlaczego jakie jaka jaki kiedy kto mogę powinien trzeba",
    "tr": "ve bir ama da de ne var için bu en ile mi mı her ben o kadar nasıl hangi daha çok olarak olan gibi"
    " gün zaman yok lazım misin mısın mu mü iyi benim bana beni bize olsun istiyorum musunuz edebilir"
    " diye hem çünkü ancak içinde bazı tüm sonra önce değil ya şu ki bunu bunun veya olur göre ise",
    "cs": "a v se je za do to že o co s od k po ale na jsem nebo podle jak jako ne i aby který která které pro"
    " při být jsou si by až také může když není tak ve ze kde proč kdy kolik jaký jaká kdo mohu můžete",
    "sv": "och i på är det att till en som har jag vi för inte om med den av men från kan vad ska hon var hur"
    " ett de du så när man eller sig också blir ut efter vid där detta varför vilken vilka mycket bör",
    "da": "og i er det at til en på som for af med den de ikke har jeg der vi kan var om et fra men man eller"
    " også være blev hvor efter sig når ved hvorfor hvilken hvordan hvad meget skal bør",
    "id": "yang dan di ini itu dari untuk dengan tidak pada akan ke atau juga saya anda adalah dalam bisa sudah"
    " karena ada lebih oleh dapat kami satu agar jika seperti ya mau saja kalau aja ga gak udah buat sama"
    " kita mereka dia bagaimana apa berapa tapi jadi hari harus",
    "vi": "và là của có không được cho với các những một trong để này khi thì người đã từ như về nhiều bạn cũng"
    " ra vào tôi hoặc nếu trên em anh gì làm phải nên còn chỉ nào thế lại rất vì sẽ bị mà ở",
    "ro": "de și la în cu pe nu o un este care din se să mai ce pentru sunt dar a au fi sau prin după ca dacă"
    " această foarte",
    "fi": "ja on ei se että oli hän joka ovat mutta myös kun niin kuin tai sen ole voi jos jotka tämä sitä",
    "hu": "a az és hogy nem is egy ez van meg de csak ha már mint vagy volt lehet kell még azt minden nagyon",
}

LANGUAGES_OF: Final[dict[str, tuple[str, ...]]] = {}
"""The languages of each of the words."""

for _language, _words in _WORDS.items():
    for _word in dict.fromkeys(_words.split()):
        LANGUAGES_OF[_word] = (*LANGUAGES_OF.get(_word, ()), _language)
