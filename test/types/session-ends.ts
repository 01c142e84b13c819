// Compiled, never run: why a user has to sign in again is a closed list, so that a program can have a text for each.

import type { SessionEnd as OfFrontDoor, SessionError } from 'evertoken'
import type { SessionEnd, UserState } from 'evertoken/session'

export const texts: Readonly<Record<SessionEnd, string>> = {
  no_session: '',
  session_expired: '',
  no_refresh_token: '',
  refresh_token_expired: '',
  refresh_token_rejected: '',
  refresh_token_lost: '',
  refresh_doubtful: '',
  dpop_key_lost: '',
  revoked: '',
  signed_out: '',
  // @ts-expect-error an event tells of it; whoever asks afterwards gets `no_session`
  back_channel_logout: '',
}
declare const error: SessionError
declare const state: UserState
void [texts[error.reason], texts[state.endedBecause ?? 'no_session']]
export const same: OfFrontDoor = error.reason satisfies SessionEnd
// @ts-expect-error there is no such reason
void (error.reason === 'expired')
