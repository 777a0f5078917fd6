"""Rules on rationales, the texts that say why an utterance expresses an emotion. Pure: no file, no network, no audio.

    rules       one rationale → kept or not, with reasons        Examiner, Bounds, REASONS, MEANINGS
    duplicates  which rationales of many say the same            near_duplicates
    leakage     does it give its label away                      LeakFinder
    evidence    does it draw on the words and on the sound       content_evidence, acoustic_evidence
    phrases     questions, invitations, "Well", meta-commentary  strip_phrases
    form        length, repetition, language
    measures    what can be counted of one rationale             measure_rationale
    claims      what it claims about the sound                   find_claims
    grounding   claims against measurements and against chance   verdict, chance
    acoustics   the words for how something is said
    lexicon     the phrases that all of these look for           lexicon.tsv
    prose       a text made ready for all of these

All rules are for English. docs/rationales.md says what each of them means and where it errs.
"""
