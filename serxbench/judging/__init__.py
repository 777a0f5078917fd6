"""A judge compares two systems' explanations: what is asked, what a reply decides, and what is known of the judge.

    texts      what is taken off the texts before they are shown    Dress, undress
    pairs      which explanations are compared, in which order      select, orders_of
    questions  blind, fenced questions                              ask_about, ask_again
    verdicts   what a reply decides, or that it decides nothing     read_verdict
    canaries   questions whose answer is known                      make_canaries, sum_up
    warnings   what speaks against a judge before it is asked       family_warnings

Nothing here reads a file or asks anybody.
"""
