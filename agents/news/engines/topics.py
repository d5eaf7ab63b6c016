"""What a text is about, of a closed list: by words. Pure."""

import re
from typing import Final

TOPICS: Final = (
    "earnings", "guidance", "m&a", "analyst", "legal", "regulation", "product", "management", "macro", "rates",
    "inflation", "employment", "energy", "credit", "dividend", "layoffs", "market",
)  # fmt: skip
"""Every topic; engines give no other."""

_RULES: Final = {
    "earnings": r"earnings|quarterly (?:profit|results?|loss|sales|revenue)|(?:net|operating|pre-?tax) (?:profit|income|loss|sales)|ebit(?:da)?|eps|profit (?:rose|fell|jump|drop|up|down)\w*|q[1-4]\b|(?:first|second|third|fourth)[- ]quarter|revenues?|turnover|same-store sales|results",
    "guidance": r"guidance|outlook|forecasts?|profit warning|sees (?:full|fiscal|q[1-4])|expects (?:full|fiscal|annual|sales|revenue|profit)|reaffirms|reiterates",
    "m&a": r"acqui(?:re|res|red|ring|sition|sitions)|mergers?|merge[sd]?|takeover|buyout|to buy|buys|agrees to (?:buy|sell|merge)|agreed to (?:buy|sell|merge)|bid for|tender offer|divest\w*|spin-?offs?|stake in|sale of its|joint venture",
    "analyst": r"analysts?|upgrad\w+|downgrad\w+|price target|target price|overweight|underweight|outperform|buy rating|initiat\w+ coverage|coverage (?:of|on)|rated",
    "legal": r"lawsuits?|sue[sd]?|suing|court|judge|jury|settle\w*|class[- ]action|patent|infring\w+|litigation|indict\w+|trial|verdict|plead\w*|charged|fraud|appeal|subpoena|prosecutors?",
    "regulation": r"regulat\w+|antitrust|anti-?trust|probes?|investigat\w+|fined|fines|sec\b|ftc|doj|justice department|european commission|fda|ban(?:s|ned)?|approv\w+|tariffs?|sanctions?|compliance|watchdog|lawmakers|congress|senate|legislation",
    "product": r"launch\w*|unveil\w*|introduc\w+|recall\w*|new (?:product|model|phone|drug|version|service)|prototype|rolls? out|rollout|trial results|iphone|chips?|release[sd]? (?:its )?(?:new|update)|drug|vaccine|app\b",
    "management": r"ceo|c\.e\.o|cfo|chief executive|chief financial|chairman|chairwoman|board|resign\w*|steps? down|appoint\w*|names? new|named|succeed\w*|ousted|director|executives?|leadership",
    "macro": r"gdp|economy|economic|recession|retail sales|consumer (?:confidence|spending|sentiment)|manufacturing|pmi\b|trade deficit|housing starts|industrial production|payrolls|government shutdown|debt ceiling|tariffs?|central banks?|exports|imports",
    "rates": r"interest rates?|rate (?:cuts?|hikes?|increase|decision)|fed\b|federal reserve|fomc|ecb\b|bank of (?:england|japan)|treasury yields?|bond yields?|yields?|basis points|monetary policy|tapering|quantitative easing",
    "inflation": r"inflation|cpi\b|consumer prices?|producer prices?|ppi\b|deflation|price pressures?|pce\b",
    "employment": r"payrolls|unemployment|jobless|jobs (?:report|data)|labou?r market|hiring|job (?:growth|openings|market)|wages?|employment|workforce",
    "energy": r"oil|crude|opec\+?|natural gas|gasoline|gas prices|pipelines?|drilling|barrels?|lng|refiner\w*|brent|wti|rigs?|solar|wind farm",
    "credit": r"credit rating|moody'?s|fitch|s&p cuts|default\w*|bankruptcy|chapter 11|bonds?|debt|notes offering|junk|refinanc\w+|loans?|covenant|credit (?:facility|line|spread)\w*|insolven\w+",
    "dividend": r"dividends?|buybacks?|share repurchase|repurchas\w+|payout|special dividend",
    "layoffs": r"layoffs?|lay(?:s|ing)? off|laid off|job cuts|cut(?:s|ting)? (?:[\w,]+ ){0,4}jobs|redundanc\w+|cut(?:s|ting)? (?:[\w,%]+ ){0,3}(?:staff|workforce|positions|workers)|job losses|furlough\w*|plant closures?|restructuring",
    "market": r"stocks|wall street|dow\b|s&p 500|nasdaq (?:composite|falls|rises|closes)|equit(?:y|ies)|futures|rally|sell-?off|stock market|indexes|indices|shares (?:rise|fall|jump|drop|surge|slump|climb|slide|rose|fell|up|down)\w*|volatility|vix",
}  # fmt: skip
_PATTERNS: Final = {topic: re.compile(rf"\b(?:{rule})\b") for topic, rule in _RULES.items()}

_MARKET_STORY: Final = re.compile(
    r"\b(?:wall street|dow(?: jones)?|s&p(?: 500)?|nasdaq composite|stock market|u\.?s\.? (?:stocks?|equities|economy|payrolls|gdp|inflation|jobs|futures|treasur\w+|consumer|retail sales|debt)|"
    r"stocks? (?:futures|markets?|index\w*)|stocks (?:rise|fall|slip|slide|dip|drop|climb|jump|surge|rally|gain|rebound|sink|tumble|end|close|edge|open|mixed|plunge|soar|retreat|advance)\w*|"
    r"(?:the )?fed\b|federal reserve|fomc|payrolls|jobs (?:report|data|numbers)|jobless claims|unemployment rate|cpi\b|consumer prices|inflation|treasury yields?|treasur(?:y|ies)|"
    r"government shutdown|debt ceiling|debt limit|recession|gdp|retail sales|consumer (?:confidence|sentiment|spending)|interest rates?|rate (?:cuts?|hikes?))\b"
)
_ABROAD: Final = re.compile(
    r"\b(?:china|chinese|japan|japanese|india|indian|german\w*|french|france|u\.?k\.?|britain|british|emerging markets?|euro zone|eurozone|ecb|canada|canadian|australia|australian|brazil|russia|russian|turkey|turkish|korea|korean|mexico|italy|italian|spain|spanish|philippines|indonesia|gulf|hong kong|swiss|bank of (?:england|japan|canada)|boj|boe|thai|uae|saudi|european|asian?)\b"
)


def topics(text: str) -> list[str]:
    """Give a text's topics, in the list's order."""
    lower = text.lower()
    return [topic for topic, pattern in _PATTERNS.items() if pattern.search(lower)]


def on_market(text: str) -> bool:
    """Tell whether a text is on the American market, economy or central bank.

    Another country's economy is not: the headline decides.
    """
    lower = text.lower()
    return _MARKET_STORY.search(lower) is not None and (
        _ABROAD.search(lower) is None
        or re.search(r"\b(?:wall street|s&p|dow|fed|u\.?s\.?)\b", lower) is not None
    )
