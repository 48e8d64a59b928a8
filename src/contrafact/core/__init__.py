"""The contracts every part of contrafact meets, and what runs share."""
