/* Topologies: networks of deckies that are planned, edited while pending, and watched when live. */
#include "methods.h"
