"""Names of shape keys in other rigs, mapped to ARKit's names without the side."""

from __future__ import annotations

BASE_SYNONYMS: dict[str, str] = {
    # one spelling (lower-case letters only, without side) -> ARKit bases
    "blink": "eyeBlink", "eyeclose": "eyeBlink", "eyesclose": "eyeBlink", "eyeclosed": "eyeBlink",
    "eyesclosed": "eyeBlink", "closeeye": "eyeBlink", "closeeyes": "eyeBlink", "eyelidclose": "eyeBlink",
    "wink": "eyeBlink", "upperlidclosed": "eyeBlink", "eyeclosure": "eyeBlink", "lidclose": "eyeBlink",
    "eyeopen": "eyeWide", "eyesopen": "eyeWide", "eyeswide": "eyeWide", "upperlidopen": "eyeWide",
    "eyeopenedup": "eyeWide", "eyewiden": "eyeWide",
    "lowerlidup": "eyeSquint", "eyeslit": "eyeSquint", "squint": "eyeSquint", "eyessquint": "eyeSquint",
    "lookup": "eyeLookUp", "eyeup": "eyeLookUp", "eyesup": "eyeLookUp", "eyeslookup": "eyeLookUp",
    "lookdown": "eyeLookDown", "eyedown": "eyeLookDown", "eyesdown": "eyeLookDown",
    "lookin": "eyeLookIn", "lookout": "eyeLookOut",
    "browlower": "browDown", "browdrop": "browDown", "eyebrowsdown": "browDown", "eyebrowdown": "browDown",
    "browsdown": "browDown",
    "browraiseinner": "browInnerUp", "innerbrowup": "browInnerUp", "innerbrowraise": "browInnerUp",
    "browinnerraise": "browInnerUp", "eyebrowsinnerup": "browInnerUp", "innerbrowraiser": "browInnerUp",
    "browraiseouter": "browOuterUp", "outerbrowup": "browOuterUp", "outerbrowraise": "browOuterUp",
    "browouterraise": "browOuterUp", "eyebrowsexternup": "browOuterUp", "outerbrowraiser": "browOuterUp",
    "browup": "browInnerUp browOuterUp", "browsup": "browInnerUp browOuterUp", "browraise": "browInnerUp browOuterUp",
    "eyebrowsup": "browInnerUp browOuterUp", "eyebrowup": "browInnerUp browOuterUp",
    "cheekraise": "cheekSquint", "cheekup": "cheekSquint", "cheekraiser": "cheekSquint",
    "puff": "cheekPuff", "cheekspuff": "cheekPuff", "cheekspump": "cheekPuff", "puffcheeks": "cheekPuff",
    "nosewrinkler": "noseSneer", "nosewrinkle": "noseSneer", "sneer": "noseSneer", "nosecompression": "noseSneer",
    "noseelevation": "noseSneer",
    "jawdrop": "jawOpen", "mouthopen": "jawOpen", "openmouth": "jawOpen", "chindown": "jawOpen", "openjaw": "jawOpen",
    "chinforward": "jawForward", "jawthrust": "jawForward", "chin": "jaw", "mouthmove": "mouth",
    "mouthshift": "mouth",
    "smile": "mouthSmile", "mouthpullup": "mouthSmile", "mouthcornerpuller": "mouthSmile", "lipcornerpuller":
    "mouthSmile", "mouthcornerup": "mouthSmile", "lipcornerup": "mouthSmile",
    "mouthpulldown": "mouthFrown", "mouthcornerdown": "mouthFrown", "lipcornerdepressor": "mouthFrown",
    "lipcornerdown": "mouthFrown", "mouthsad": "mouthFrown", "mouthdepression": "mouthFrown",
    "mouthpullside": "mouthStretch", "lipstretch": "mouthStretch", "lipstretcher": "mouthStretch",
    "mouthwide": "mouthStretch", "mouthretraction": "mouthStretch",
    "dimple": "mouthDimple", "dimpler": "mouthDimple", "platysma": "mouthStretch", "mouthplatysma": "mouthStretch",
    "lipskiss": "mouthPucker", "kiss": "mouthPucker", "pucker": "mouthPucker", "mouthpursing": "mouthPucker",
    "lippucker": "mouthPucker", "mouthprotusion": "mouthFunnel", "funnel": "mouthFunnel",
    "lipfunneler": "mouthFunnel",
    "mouthupupper": "mouthUpperUp", "upperlipup": "mouthUpperUp", "upperlipraise": "mouthUpperUp", "lipupperup":
    "mouthUpperUp", "mouthdownlower": "mouthLowerDown", "lowerlipdown": "mouthLowerDown", "liplowerdown":
    "mouthLowerDown", "mouthrollinupper": "mouthRollUpper", "upperlipbackward": "mouthRollUpper", "liprollupper":
    "mouthRollUpper", "mouthrollinlower": "mouthRollLower", "lowerlipbackward": "mouthRollLower", "liprolllower":
    "mouthRollLower", "lowerlipup": "mouthShrugLower", "chinraise": "mouthShrugLower",
    "chinraiser": "mouthShrugLower",
    "lippress": "mouthPress", "lipspress": "mouthPress", "mouthcompression": "mouthPress",
    "mouthtighten": "mouthPress",
    "tongue": "tongueOut", "tongueextend": "tongueOut", "tongueoutside": "tongueOut",
    # VRM and VRoid
    "fcleyeclose": "eyeBlink", "fcleyespread": "eyeWide", "fcleyesurprised": "eyeWide", "fclbrwangry": "browDown",
    "fclbrwsorrow": "browInnerUp", "fclbrwsurprised": "browInnerUp browOuterUp",
    "fclmtha": "jawOpen", "fclmthi": "mouthStretch", "fclmthu": "mouthPucker",
    "fclmthe": "mouthUpperUp mouthLowerDown",
    "fclmtho": "mouthFunnel", "fclmthfun": "mouthSmile", "fclmthangry": "mouthFrown", "fclmthclose": "mouthClose",
    "fclmthdown": "mouthShrugLower", "fclmthup": "mouthShrugUpper", "fclalljoy": "mouthSmile eyeBlink",
    "fclallangry": "browDown mouthFrown", "fclallsorrow":
    "browInnerUp mouthFrown", "fclallsurprised": "eyeWide browInnerUp browOuterUp", "fclallfun": "mouthSmile",
    "joy": "mouthSmile", "happy": "mouthSmile", "angry": "browDown mouthFrown", "sorrow": "browInnerUp mouthFrown",
    "sad": "browInnerUp mouthFrown", "surprised": "eyeWide browInnerUp browOuterUp",
    "a": "jawOpen", "i": "mouthStretch", "u": "mouthPucker", "e": "mouthUpperUp mouthLowerDown", "o": "mouthFunnel",
    "aa": "jawOpen", "ih": "mouthStretch", "ou": "mouthPucker", "ee": "mouthUpperUp mouthLowerDown", "oh":
    "mouthFunnel", "visemeaa": "jawOpen", "visemeou": "mouthPucker", "visemeo": "mouthFunnel",
    # MikuMikuDance
    "まばたき": "eyeBlink", "ウィンク": "eyeBlinkLeft", "ウィンク右": "eyeBlinkRight", "びっくり": "eyeWide",
    "あ": "jawOpen", "い": "mouthStretch", "う": "mouthPucker", "え": "mouthUpperUp mouthLowerDown",
    "お": "mouthFunnel", "にっこり": "mouthSmile", "怒り": "browDown", "困る": "browInnerUp", "上": "browOuterUp",
    # facial action units
    "au1": "browInnerUp", "au2": "browOuterUp", "au4": "browDown", "au5": "eyeWide", "au6": "cheekSquint",
    "au7": "eyeSquint", "au9": "noseSneer", "au10": "mouthUpperUp", "au12": "mouthSmile", "au14": "mouthDimple",
    "au15": "mouthFrown", "au16": "mouthLowerDown", "au17": "mouthShrugLower", "au18": "mouthPucker", "au20":
    "mouthStretch", "au22": "mouthFunnel", "au24": "mouthPress", "au26": "jawOpen", "au27": "jawOpen", "au28":
    "mouthRollUpper mouthRollLower", "au29": "jawForward", "au43": "eyeBlink", "au45": "eyeBlink",
}  # fmt: skip
"""Letters and digits of a key's name without the side, lower case -> ARKit names (with or without their side)."""

EXCEPTIONAL_NAMES: dict[str, str] = {
    "lefteyeturnleft": "eyeLookOutLeft", "lefteyeturnright": "eyeLookInLeft", "righteyeturnleft": "eyeLookInRight",
    "righteyeturnright": "eyeLookOutRight", "eyellookl": "eyeLookOutLeft", "eyellookr": "eyeLookInLeft",
    "eyerlookl": "eyeLookInRight", "eyerlookr": "eyeLookOutRight", "lookleft": "eyeLookOutLeft eyeLookInRight",
    "lookright": "eyeLookInLeft eyeLookOutRight", "eyesleft": "eyeLookOutLeft eyeLookInRight", "eyesright":
    "eyeLookInLeft eyeLookOutRight", "eyeslookleft": "eyeLookOutLeft eyeLookInRight", "eyeslookright":
    "eyeLookInLeft eyeLookOutRight", "mouthlookleft": "mouthLeft", "ウィンク2": "eyeBlinkLeft", "ウィンク2右":
    "eyeBlinkRight", "ｳｨﾝｸ2右": "eyeBlinkRight", "はぅ": "eyeBlink",
}  # fmt: skip
"""Names whose side or direction words do not mean a side: all their letters and digits, lower case."""
