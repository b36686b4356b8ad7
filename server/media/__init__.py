"""Makes one MP3, with yt-dlp and ffmpeg in processes of their own.

It promises the whole file of the requested video or an error with the true reason, and that no process, file or
descriptor outlives the attempt. It does not know the queue or the clients: it reports to its job.

May import: storage.
"""
