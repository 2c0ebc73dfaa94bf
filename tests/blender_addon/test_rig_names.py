"""Key names of other programs' rigs: each means one thing or nothing; a wrong link is worse than none.

Each table has a name a word; behind ``=`` stands what it means, where that is beyond doubt, without a side for both.
Names alone have no counterpart among ARKit's 52: they are left alone.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from blender_addon.protocol.names import ARKIT_NAMES
from blender_addon.transfer.names import atoms_of, meaning, suggest

FACESHIFT = """
EyeBlink_L=eyeBlinkLeft EyeBlink_R=eyeBlinkRight EyeSquint_L=eyeSquintLeft EyeSquint_R=eyeSquintRight
EyeDown_L=eyeLookDownLeft EyeDown_R=eyeLookDownRight EyeIn_L=eyeLookInLeft EyeIn_R=eyeLookInRight
EyeOpen_L=eyeWideLeft EyeOpen_R=eyeWideRight EyeOut_L=eyeLookOutLeft EyeOut_R=eyeLookOutRight
EyeUp_L=eyeLookUpLeft EyeUp_R=eyeLookUpRight BrowsD_L=browDownLeft BrowsD_R=browDownRight BrowsU_C=browInnerUp
BrowsU_L=browOuterUpLeft BrowsU_R=browOuterUpRight JawOpen=jawOpen LipsTogether=mouthClose JawLeft=jawLeft
JawRight=jawRight JawFwd=jawForward LipsUpperUp_L=mouthUpperUpLeft LipsUpperUp_R=mouthUpperUpRight
LipsLowerDown_L=mouthLowerDownLeft LipsLowerDown_R=mouthLowerDownRight LipsUpperClose=mouthRollUpper
LipsLowerClose=mouthRollLower MouthSmile_L=mouthSmileLeft MouthSmile_R=mouthSmileRight MouthDimple_L=mouthDimpleLeft
MouthDimple_R=mouthDimpleRight LipsStretch_L=mouthStretchLeft LipsStretch_R=mouthStretchRight
MouthFrown_L=mouthFrownLeft MouthFrown_R=mouthFrownRight MouthPress_L=mouthPressLeft MouthPress_R=mouthPressRight
LipsPucker=mouthPucker LipsFunnel=mouthFunnel MouthLeft=mouthLeft MouthRight=mouthRight ChinLowerRaise=mouthShrugLower
ChinUpperRaise=mouthShrugUpper Sneer_L=noseSneerLeft Sneer_R=noseSneerRight Puff=cheekPuff CheekSquint_L=cheekSquintLeft
CheekSquint_R=cheekSquintRight
"""
CC4 = """
Brow_Raise_Inner_L=browInnerUpL Brow_Raise_Outer_L=browOuterUpLeft Brow_Drop_L=browDownLeft Brow_Compress_L
Eye_Blink_L=eyeBlinkLeft Eye_Squint_R=eyeSquintRight Eye_Wide_L=eyeWideLeft Eye_L_Look_L=eyeLookOutLeft
Eye_R_Look_L=eyeLookInRight Eye_L_Look_R=eyeLookInLeft Eye_R_Look_R=eyeLookOutRight Eye_L_Look_Up=eyeLookUpLeft
Eye_R_Look_Down=eyeLookDownRight Eyelash_Upper_Up_L Eyelash_Lower_Down_R Ear_Up_L Ear_Down_R Ear_Out_L
Nose_Sneer_L=noseSneerLeft Nose_Nostril_Raise_L Nose_Nostril_Dilate_R Nose_Crease_L Nose_Tip_L Nose_Tip_Up
Cheek_Raise_L=cheekSquintLeft Cheek_Suck_L Cheek_Puff_R=cheekPuffR Mouth_Smile_L=mouthSmileLeft Mouth_Smile_Sharp_L
Mouth_Frown_R=mouthFrownRight Mouth_Stretch_L=mouthStretchLeft Mouth_Dimple_R=mouthDimpleRight
Mouth_Press_L=mouthPressLeft Mouth_Blow_L Mouth_Pucker_Up_L Mouth_Pucker_Down_R Mouth_Funnel_Up_L
Mouth_Roll_In_Upper_L=mouthRollUpperL Mouth_Roll_In_Lower_R=mouthRollLowerR Mouth_Roll_Out_Upper_L Mouth_Push_Upper_L
Mouth_Pull_Lower_R Mouth_Up Mouth_Down Mouth_L=mouthLeft Mouth_R=mouthRight Mouth_Upper_L Mouth_Lower_R
Mouth_Shrug_Upper=mouthShrugUpper Mouth_Shrug_Lower=mouthShrugLower Mouth_Drop_Upper Mouth_Up_Upper_L=mouthUpperUpLeft
Mouth_Down_Lower_R=mouthLowerDownRight Mouth_Close=mouthClose Mouth_Contract Tongue_Bulge_L Jaw_Open=jawOpen
Jaw_Forward=jawForward Jaw_Backward Jaw_L=jawLeft Jaw_R=jawRight Jaw_Up Neck_Swallow_Up Neck_Tighten_L Head_Turn_L
Head_Tilt_R V_Explosive V_Dental_Lip V_Tight_O V_Tight V_Affricate V_Lip_Open V_Tongue_up Tongue_Out=tongueOut
Tongue_In Tongue_Up Tongue_L Tongue_R Tongue_Tip_L Tongue_Wide Tongue_Roll
"""
METAHUMAN = """
CTRL_expressions_browDownL=browDownLeft CTRL_expressions_browLateralL CTRL_expressions_browRaiseInL=browInnerUpL
CTRL_expressions_browRaiseOuterR=browOuterUpRight CTRL_expressions_earUpL CTRL_expressions_eyeBlinkL=eyeBlinkLeft
CTRL_expressions_eyeCheekRaiseR=cheekSquintRight CTRL_expressions_eyeFaceScrunchL CTRL_expressions_eyeLidPressL
CTRL_expressions_eyeLookDownL=eyeLookDownLeft CTRL_expressions_eyeLookLeftL=eyeLookOutLeft
CTRL_expressions_eyeLookLeftR=eyeLookInRight CTRL_expressions_eyeLookRightL=eyeLookInLeft
CTRL_expressions_eyeLookRightR=eyeLookOutRight CTRL_expressions_eyeLookUpR=eyeLookUpRight
CTRL_expressions_eyeLowerLidDownL CTRL_expressions_eyePupilNarrowL CTRL_expressions_eyePupilWideR
CTRL_expressions_eyeRelaxL CTRL_expressions_eyeSquintInnerL=eyeSquintLeft CTRL_expressions_eyeWidenL=eyeWideLeft
CTRL_expressions_jawBack CTRL_expressions_jawChinCompressL
CTRL_expressions_jawClenchL CTRL_expressions_jawFwd=jawForward
CTRL_expressions_jawLeft=jawLeft CTRL_expressions_jawOpen=jawOpen CTRL_expressions_jawOpenExtreme
CTRL_expressions_mouthCheekBlowL=cheekPuffL CTRL_expressions_mouthCheekSuckL
CTRL_expressions_mouthCornerDepressL=mouthFrownLeft CTRL_expressions_mouthCornerNarrowL
CTRL_expressions_mouthCornerPullR=mouthSmileRight CTRL_expressions_mouthCornerRounderDL
CTRL_expressions_mouthDimpleL=mouthDimpleLeft CTRL_expressions_mouthDown CTRL_expressions_mouthUp
CTRL_expressions_mouthLeft=mouthLeft CTRL_expressions_mouthRight=mouthRight CTRL_expressions_mouthLipsBlowL
CTRL_expressions_mouthLipsPressL=mouthPressLeft CTRL_expressions_mouthLowerLipBiteL
CTRL_expressions_mouthLowerLipDepressL=mouthLowerDownLeft CTRL_expressions_mouthLowerLipRollInL=mouthRollLowerL
CTRL_expressions_mouthLowerLipShiftLeft CTRL_expressions_mouthStickyUC CTRL_expressions_mouthStretchL=mouthStretchLeft
CTRL_expressions_mouthUpperLipRaiseL=mouthUpperUpLeft CTRL_expressions_mouthUpperLipRollInR=mouthRollUpperR
CTRL_expressions_noseNostrilDilateL CTRL_expressions_noseWrinkleL=noseSneerLeft CTRL_expressions_tongueOut=tongueOut
CTRL_expressions_tongueUp CTRL_expressions_tongueLeft CTRL_expressions_tongueTwistLeft CTRL_expressions_teethLeftU
CTRL_expressions_neckStretchL
"""
SRANIPAL = """
Jaw_Right=jawRight Jaw_Left=jawLeft Jaw_Forward=jawForward Jaw_Open=jawOpen Mouth_Ape_Shape=mouthClose
Mouth_Upper_Right Mouth_Upper_Left Mouth_Lower_Right Mouth_Lower_Left Mouth_Upper_Overturn
Mouth_Lower_Overturn Mouth_Pout
Mouth_Smile_Right=mouthSmileRight Mouth_Smile_Left=mouthSmileLeft Mouth_Sad_Right=mouthFrownRight
Mouth_Sad_Left=mouthFrownLeft Cheek_Puff_Right=cheekPuffR Cheek_Puff_Left=cheekPuffL Cheek_Suck
Mouth_Upper_UpRight=mouthUpperUpRight Mouth_Upper_UpLeft=mouthUpperUpLeft Mouth_Lower_DownRight=mouthLowerDownRight
Mouth_Lower_DownLeft=mouthLowerDownLeft Mouth_Upper_Inside=mouthRollUpper Mouth_Lower_Inside=mouthRollLower
Mouth_Lower_Overlay=mouthShrugLower Tongue_LongStep1=tongueOut Tongue_Left Tongue_Right Tongue_Up
Tongue_Down Tongue_Roll
Tongue_UpRight_Morph Tongue_DownLeft_Morph Eye_Left_Blink=eyeBlinkLeft Eye_Right_Wide=eyeWideRight
Eye_Left_Right=eyeLookInLeft Eye_Left_Left=eyeLookOutLeft Eye_Right_Left=eyeLookInRight Eye_Right_Right=eyeLookOutRight
Eye_Left_Up=eyeLookUpLeft Eye_Right_Down=eyeLookDownRight Eye_Left_squeeze Eye_Frown
"""
UNIFIED = """
EyeClosedLeft=eyeBlinkLeft EyeSquintRight=eyeSquintRight EyeWideLeft=eyeWideLeft EyeLookOutLeft=eyeLookOutLeft
BrowPinchLeft BrowLowererRight=browDownRight BrowInnerUpLeft=browInnerUpL BrowOuterUpRight=browOuterUpRight
NasalDilationLeft CheekSquintLeft=cheekSquintLeft CheekPuffRight=cheekPuffR CheekSuckLeft JawOpen=jawOpen
MouthClosed=mouthClose JawRight=jawRight JawForward=jawForward JawBackward LipSuckUpperLeft=mouthRollUpperL
LipSuckLowerRight=mouthRollLowerR LipSuckCornerLeft LipFunnelUpperLeft LipPuckerLowerRight
MouthUpperUpLeft=mouthUpperUpLeft MouthUpperDeepenLeft MouthLowerDownRight=mouthLowerDownRight MouthUpperRight
MouthLowerLeft MouthCornerPullLeft=mouthSmileLeft MouthCornerSlantLeft MouthFrownRight=mouthFrownRight
MouthStretchLeft=mouthStretchLeft MouthDimpleRight=mouthDimpleRight MouthRaiserUpper=mouthShrugUpper
MouthRaiserLower=mouthShrugLower MouthPressLeft=mouthPressLeft MouthTightenerLeft TongueOut=tongueOut TongueUp
SoftPalateClose NeckFlexRight EyeDilationLeft
BS_node.eyeBlinkLeft=eyeBlinkLeft BS_node.mouthFunnel=mouthFunnel
"""
META = """
Brow_Lowerer_L=browDownLeft Cheek_Puff_L=cheekPuffL Cheek_Raiser_R=cheekSquintRight Cheek_Suck_L
Chin_Raiser_B=mouthShrugLower Chin_Raiser_T=mouthShrugUpper Dimpler_L=mouthDimpleLeft Eyes_Closed_R=eyeBlinkRight
Eyes_Look_Down_L=eyeLookDownLeft Eyes_Look_Left_L=eyeLookOutLeft Eyes_Look_Left_R=eyeLookInRight
Eyes_Look_Right_L=eyeLookInLeft Eyes_Look_Right_R=eyeLookOutRight Eyes_Look_Up_R=eyeLookUpRight
Inner_Brow_Raiser_L=browInnerUpL Jaw_Drop=jawOpen Jaw_Sideways_Left=jawLeft Jaw_Sideways_Right=jawRight
Jaw_Thrust=jawForward Lid_Tightener_L=eyeSquintLeft Lip_Corner_Depressor_L=mouthFrownLeft
Lip_Corner_Puller_R=mouthSmileRight
Lip_Funneler_LB Lip_Funneler_RT=mouthFunnelR Lip_Pressor_L=mouthPressLeft Lip_Pucker_L=mouthPuckerL
Lip_Stretcher_L=mouthStretchLeft Lip_Suck_LB Lip_Suck_RT Lips_Toward=mouthClose Lower_Lip_Depressor_L=mouthLowerDownLeft
Mouth_Left=mouthLeft Mouth_Right=mouthRight Nose_Wrinkler_L=noseSneerLeft Outer_Brow_Raiser_R=browOuterUpRight
Upper_Lid_Raiser_L=eyeWideLeft Upper_Lip_Raiser_R=mouthUpperUpRight Tongue_Tip_Interdental Tongue_Tip_Alveolar
Tongue_Front_Dorsal_Palate Tongue_Out=tongueOut Tongue_Retreat
"""
VRM = """
aa=jawOpen ou=mouthPucker oh=mouthFunnel ih=mouthStretch blink=eyeBlink blinkLeft=eyeBlinkLeft blinkRight=eyeBlinkRight
lookUp=eyeLookUp lookDown=eyeLookDown neutral relaxed Fcl_MTH_A=jawOpen Fcl_MTH_U=mouthPucker Fcl_EYE_Close=eyeBlink
Fcl_EYE_Close_L=eyeBlinkLeft Fcl_BRW_Angry=browDown Fcl_HA_Fung1 Fcl_EYE_Highlight_Hide vrc.v_aa=jawOpen
vrc.v_ou=mouthPucker vrc.v_sil
"""
ROKOKO = " ".join(f"{name}={name} head.{name}={name}" for name in sorted(ARKIT_NAMES))
LOOKALIKES = """
Variant_A Variant_A_L Brow_U_L Eye_O_L Cheek_A_R Nose_I_R Mouth_U_L Lips_O_R Eye_Smile_L Brow_Smile_R Ear_Pucker
Nose_Smile_L Hair_Up_L Teeth_Open Eye_Funnel Key_1 Basis Tongue_Smile Neck_Open Body_Left Eyelash_Blinking_No
"""
RIGS = {
    "faceshift": FACESHIFT, "cc4": CC4, "metahuman": METAHUMAN, "sranipal": SRANIPAL, "meta": META, "vrm": VRM,
    "unified": UNIFIED, "rokoko": ROKOKO, "lookalikes": LOOKALIKES,
}  # fmt: skip
ONE_SIDED = {base + side: (base, side) for base in ("browInnerUp", "cheekPuff", "mouthRollUpper", "mouthRollLower",
                                                    "mouthPucker", "mouthFunnel") for side in "LR"}  # fmt: skip


def rows(table: str) -> list[tuple[str, frozenset | None]]:
    """(name, the atoms it means; None for none)."""
    found = []
    for word in table.split():
        name, _, meant = word.partition("=")
        atoms = frozenset({ONE_SIDED[meant]}) if meant in ONE_SIDED else atoms_of(meant) if meant else None
        found.append((name, atoms))
    return found


@pytest.mark.parametrize("rig", RIGS)
def test_no_name_of_a_rig_is_linked_wrongly(rig: str) -> None:
    read = {name: meaning(name) for name, _ in rows(RIGS[rig])}
    wrong = {
        name: sorted(read[name].atoms)
        for name, atoms in rows(RIGS[rig])
        if read[name] is not None and read[name].atoms != atoms
    }
    assert wrong == {}


@pytest.mark.parametrize("rig", RIGS)
def test_unmistakable_names_of_a_rig_are_linked(rig: str) -> None:
    assert [name for name, atoms in rows(RIGS[rig]) if atoms is not None and meaning(name) is None] == []


def test_a_reported_rig_is_linked_whole(shared_dir: Path) -> None:
    path = shared_dir / "cases" / "names_faceshift_brows" / "names.txt"
    if not path.is_file():
        pytest.skip("needs the cases beside the repository")
    names = path.read_text("utf-8").split()
    expected = dict(word.split("=") for word in FACESHIFT.split())
    links = suggest(sorted(ARKIT_NAMES), names)
    assert {link.target: link.source for link in links} == {name: expected[name] for name in names}
