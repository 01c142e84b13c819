export {
  type AuthorizedFetch,
  type AuthorizedFetchInit,
  type AuthorizedFetchOptions,
  authorizedFetch,
} from './authorized-fetch.ts'
export type { Body, BodySource } from './replayable-body.ts'
