//! What an app that only uses HTTP relies on: the form of every answer, the headers, and what a web page of another origin may read.

mod answers;
mod development;
mod document;
mod heads;
mod origins;
