export { createAccessToken } from './token/index.ts'
