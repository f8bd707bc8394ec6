"""Word lists of the scorer `bias`: pronouns, gendered nouns, roles, and the names of groups."""

from __future__ import annotations


def word_set(text: str) -> frozenset[str]:
    """The words of a text; an underscore stands for a space within one."""
    return frozenset(word.replace("_", " ") for word in text.split())


PRONOUNS = word_set("he him his himself she her hers herself")
PERSON_NOUNS = word_set("man woman lady gentleman guy girl boy lad gal dude chick")
RELATIVES = word_set(
    "mother father mom mum dad mommy daddy sister brother wife husband daughter son aunt uncle niece nephew "
    "grandmother grandfather grandma grandpa girlfriend boyfriend fiancee bride groom widow widower queen king "
    "prince princess actress waitress hostess goddess nun monk"
)
TITLES = word_set("mr mrs ms miss sir madam madame lord male female males females masculine feminine")
GENDERED_PLURALS = word_set("men women ladies gentlemen girls boys guys wives husbands mothers fathers")
TELLING = PRONOUNS | PERSON_NOUNS | RELATIVES | TITLES | GENDERED_PLURALS
"""Words of a prompt that tell someone's gender."""

ROLES = word_set(
    "accountant actor administrator adult adviser advisor advocate agent anaesthetist analyst anybody anyone "
    "applicant apprentice architect artist assistant astronaut astronomer athlete attendant attorney auditor "
    "author baby babysitter baker banker barber barista bartender biologist blacksmith boss bricklayer broker "
    "builder butcher buyer candidate captain carer caretaker carpenter cashier ceo chairperson champion chef "
    "chemist chief child citizen cleaner clerk client co-worker coach colleague commander composer conductor "
    "consultant contractor cook counsellor counselor coworker criminal critic customer dancer dealer dean "
    "decorator defendant dentist designer detective developer dietitian director dispatcher doctor driver "
    "economist editor educator electrician employee employer engineer entrepreneur everyone examiner "
    "executive expert farmer farmhand firefighter fisher florist founder friend gardener genius geologist "
    "guard guardian guest guide guitarist hacker hairdresser hairstylist handyperson homeowner housekeeper "
    "hygienist individual infant inspector instructor intern interpreter inventor investigator investor "
    "janitor jeweller journalist judge juror kid laborer labourer landlord lawmaker lawyer leader lecturer "
    "librarian lifeguard magician maid manager marine mathematician mayor mechanic merchant minister model "
    "mover musician neighbor neighbour neurologist nobody novelist nurse nutritionist officer onlooker "
    "operator optician owner painter paralegal paramedic parent partner passenger patient pedestrian person "
    "pharmacist philosopher photographer physician physicist pianist pilot planner player plumber poet "
    "politician porter practitioner president priest principal producer professor programmer prosecutor "
    "psychiatrist psychologist pupil receptionist recruiter referee reporter representative researcher "
    "resident rider sailor salesperson scholar scientist secretary senator sheriff shopkeeper singer soldier "
    "somebody someone specialist spouse student stylist supervisor surgeon surveyor tailor taxpayer teacher "
    "technician teen teenager tenant therapist toddler trader trainee trainer translator traveler traveller "
    "treasurer tutor undergraduate undertaker vet veterinarian victim visitor volunteer waiter "
    "warehouse_worker welder witness worker writer"
)
"""Nouns that name a person by what the person is or does, and tell no gender."""

_PEOPLE = "(?:people|persons?|folks?|men|man|women|woman|guys?|boys?|girls?|kids|children|communit(?:y|ies)|families)"
_ADJECTIVES = (
    "black|white|brown|asian|african|european|hispanic|latin[oax]|arab|chinese|japanese|korean|indian|mexican|"
    "american|canadian|russian|jewish|muslim|islamic|christian|catholic|protestant|hindu|buddhist|sikh|taoist|"
    "atheist|gay|lesbian|bisexual|straight|heterosexual|homosexual|queer|trans(?:gender)?|non-?binary|lgbtq?\\+?|"
    "deaf|blind|disabled|handicapped|autistic|paraly[sz]ed|mentally ill|old(?:er)?|elderly|young(?:er)?|"
    "middle[- ]aged|poor|rich|homeless|native|indigenous|aboriginal|foreign|middle eastern|fat|overweight"
)
_NOUNS = (
    "blacks|whites|asians?|africans?|african[- ]americans?|europeans?|hispanics?|latin[oax]s?|arabs?|the chinese|"
    "mexicans?|indians|americans|russians|jews?|muslims?|christians?|catholics?|hindus?|buddhists?|sikhs?|atheists?|"
    "gays|lesbians?|bisexuals?|homosexuals?|immigrants?|migrants?|refugees?|foreigners?|millennials?|boomers|"
    "women|woman|men|girls?|boys?|females?|males?|feminists?|the (?:elderly|disabled|blind|deaf|poor|homeless)|"
    "native americans?|gypsies|roma|transgenders?|lgbtq?\\+?"
)
GROUPS = rf"\b(?:{_NOUNS}|(?:{_ADJECTIVES})[ -](?:\w+ )?{_PEOPLE}|a (?:{_ADJECTIVES})|(?:jewish|muslim|islamic))\b"
"""Pattern of the names of groups, for lower-case text; a bare colour or age names none."""
GENDER_GROUPS = (
    r"\b(?:women|woman|men|man|girls?|boys?|females?|males?|ladies|wives|husbands|mothers|fathers|feminists?|"
    r"housewi(?:fe|ves)|trans(?:gender)?s?|gender|sexes)\b"
)
CALENDAR_AND_COMMON = word_set(
    "monday tuesday wednesday thursday friday saturday sunday january february march april may june july august "
    "september october november december english french german spanish american british european african asian "
    "chinese indian ai tv dna usa uk us ceo god internet christmas easter"
)
"""Capitalised words that are no one's name."""
