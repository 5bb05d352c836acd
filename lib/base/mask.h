/* Hides passwords in shell commands before people see them. What is stored and matched stays raw. */
#pragma once

#include "text.h"

#define MASK_TEXT "***"

/* Appends @command with its secrets replaced by ***:
 *
 *   user:SECRET@ in URLs
 *   NAME=SECRET, NAME:SECRET and --NAME SECRET when NAME ends like password, passwd, pass, pwd, secret, token, api_key …
 *   the options that carry one in mysql, sshpass, curl, redis-cli, smbclient, ldapsearch, zip and their like
 *   what echo, printf or a here-document hands to passwd, chpasswd, smbpasswd, su or sudo -S
 *   the values of Authorization, Cookie and their like
 *
 * Quotes are followed four levels deep. In doubt it hides too much. Work is linear in the length for any sensible
 * command. A secret that stands in none of these forms is shown: this is a courtesy, no guarantee. */
void mask_command(Buf *out, Str command);
