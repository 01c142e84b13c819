import { base64url } from './base64url.ts'

/** SHA-256 of a text in base64url, for names that leave the process. */
export async function sha256(text: string): Promise<string> {
  return base64url(new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text))))
}
