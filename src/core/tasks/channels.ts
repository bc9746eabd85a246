/** NOTIFY channels of tasks; the payload is the task's id. */
export const CANCEL_CHANNEL = 'deckle_task_cancel';
export const DONE_CHANNEL = 'deckle_task_done';
